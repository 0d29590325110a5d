<?php

declare(strict_types=1);

namespace Waypost\Symfony;

use Symfony\Component\DependencyInjection\EnvVarProcessorInterface;
use Waypost\Discovery\Source;

/**
 * What is discovered, where an environment variable would stand; looked up when the service that uses it is
 * made.
 *
 * - `%env(discover:db)%`: a URL; `%env(key:host:url:discover:db)%` is a part of it, by Symfony's own
 *   processors.
 * - `%env(discover_record:db)%`: everything that is known of one instance, as an array;
 *   `%env(key:dbname:discover_record:db)%`.
 * - `%env(discover:db:replica)%`: an instance in a role. Ended by a colon the name may have dots and dashes:
 *   `%env(discover:my-db:primary)%`.
 */
final class DiscoverEnvVarProcessor implements EnvVarProcessorInterface
{
    /** @param array<string, string> $schemes of the URLs, by service; `tcp` for all others */
    public function __construct(
        private readonly Source $source,
        private readonly ?string $zone = null,
        private readonly array $schemes = [],
    ) {
    }

    public function getEnv(string $prefix, string $name, \Closure $getEnv): array|string
    {
        [$service, $role] = explode(':', $name, 2) + [1 => null];
        $instance = $this->source->get($service)->pick($role, $this->zone);

        return $prefix === 'discover_record'
            ? $instance->toArray()
            : $instance->url($this->schemes[$service] ?? 'tcp');
    }

    public static function getProvidedTypes(): array
    {
        return ['discover' => 'string', 'discover_record' => 'array'];
    }
}
