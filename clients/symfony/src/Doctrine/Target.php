<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Waypost\Discovery\Instance;

/**
 * Who is to be connected to, as the registry has it.
 *
 * @internal
 */
final class Target
{
    /** What the registry may say of a database, beside its address. */
    private const KNOWN = ['user', 'password', 'dbname'];

    /**
     * @param array<string, string|int> $found what the registry says: host, port and of KNOWN what there is
     */
    private function __construct(
        public readonly string $address,
        #[\SensitiveParameter] private readonly array $found,
    ) {
    }

    /** @throws \UnexpectedValueException for a value that would change more than it should */
    public static function of(string $service, Instance $instance): self
    {
        $found = ['host' => $instance->host, 'port' => $instance->port];
        $found += array_intersect_key($instance->meta, array_flip(self::KNOWN));
        foreach (['host', 'dbname'] as $name) {
            // Both become a part of a driver's connection string, where these begin another option.
            if (preg_match('/[;=\'"\\\\\s\x00]/', (string) ($found[$name] ?? '')) === 1) {
                throw new \UnexpectedValueException(sprintf(
                    'service "%s", instance "%s": the registry\'s %s has characters that no %s has; '
                    .'correct it there',
                    $service,
                    $instance->id,
                    $name,
                    $name,
                ));
            }
        }

        return new self($instance->address, $found);
    }

    /** Differs for other credentials at the same address. */
    public function key(): string
    {
        return hash('sha256', serialize([$this->address, $this->found]));
    }

    /** What is found may be secret. */
    public function __debugInfo(): array
    {
        return ['address' => $this->address];
    }

    /** DBAL's parameters for it: what the registry says goes before what is configured. */
    public function over(#[\SensitiveParameter] array $params): array
    {
        // A socket would be used in place of any host.
        unset($params['unix_socket']);

        return $this->found + $params;
    }
}
