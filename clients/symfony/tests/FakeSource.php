<?php

declare(strict_types=1);

namespace Waypost\Tests;

use Waypost\Discovery\Service;
use Waypost\Discovery\Source;
use Waypost\Discovery\Unavailable;

/**
 * Answers what it is told to, one answer a call and the last one for ever, and remembers how it was asked.
 */
final class FakeSource implements Source
{
    /** @var list<bool> whether each look-up was to be a fresh one */
    public array $asked = [];

    /** @var list<array>|null what a fresh look-up finds instead, if anything */
    public ?array $fresh = null;

    /** @var list<list<array>|null> */
    private array $answers;

    /** @param list<array>|null ...$answers records of instances; null for nothing known */
    public function __construct(?array ...$answers)
    {
        $this->answers = $answers;
    }

    /** What the agent writes of an instance on loopback. */
    public static function record(int $port, array $more = []): array
    {
        return $more + [
            'id' => (string) $port,
            'address' => "127.0.0.1:$port",
            'host' => '127.0.0.1',
            'port' => $port,
            'weight' => 1,
            'role' => null,
            'zone' => null,
            'tags' => [],
            'meta' => [],
        ];
    }

    /** One instance after the other: what a fail-over looks like. */
    public static function ports(int ...$ports): self
    {
        return new self(...array_map(static fn (int $port): array => [self::record($port)], $ports));
    }

    public function get(string $service, bool $fresh = false): Service
    {
        $this->asked[] = $fresh;
        if ($fresh && $this->fresh !== null) {
            return new Service($service, $this->fresh);
        }
        $records = count($this->answers) > 1 ? array_shift($this->answers) : $this->answers[0];

        return new Service($service, $records ?? throw Unavailable::because($service, 'fake', 'told so'));
    }

    public function records(string $service): array
    {
        return $this->get($service)->records();
    }

    public function age(): ?float
    {
        return 0.0;
    }

    public function version(): ?string
    {
        return 'fake';
    }
}
