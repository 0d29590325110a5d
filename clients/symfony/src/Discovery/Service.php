<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/**
 * A service's instances at one moment; it never changes, a later look-up gives another one.
 *
 * Made from the agent's records without touching them, so that a look-up costs the same whatever their
 * number.
 *
 * @implements \IteratorAggregate<int, Instance>
 */
final class Service implements \Countable, \IteratorAggregate
{
    /** @var list<Instance>|null */
    private ?array $instances = null;

    /** @param list<array<string, mixed>> $records */
    public function __construct(
        public readonly string $name,
        #[\SensitiveParameter] private readonly array $records,
    ) {
    }

    /** @return list<Instance> all of them, in the registry's order */
    public function instances(): array
    {
        return $this->instances ??= array_map([Instance::class, 'of'], $this->records);
    }

    /** @return list<array<string, mixed>> as the agent wrote them */
    public function records(): array
    {
        return $this->records;
    }

    /**
     * Those that take new work in a role, which may be any.
     *
     * Where no instance tells a role (plain `HOST:PORT` values cannot), all of them play every role.
     *
     * @return list<Instance>
     */
    public function candidates(?string $role = null): array
    {
        $working = $playing = [];
        $isTold = false;
        foreach ($this->instances() as $instance) {
            $isTold = $isTold || $instance->role !== null;
            if ($instance->weight > 0) {
                $working[] = $instance;
                $instance->role === $role && $playing[] = $instance;
            }
        }

        return $role !== null && $isTold ? $playing : $working;
    }

    /**
     * The first of the registry's order that takes work, for a service of one.
     *
     * @throws NoInstance
     */
    public function first(): Instance
    {
        foreach ($this->records as $record) {
            if (($record['weight'] ?? 1) > 0) {
                return Instance::of($record);
            }
        }

        throw NoInstance::of($this->name, null, count($this));
    }

    /** @return list<string> HOST:PORT of each that takes work in the role */
    public function addresses(?string $role = null): array
    {
        return array_map(static fn (Instance $i): string => $i->address, $this->candidates($role));
    }

    /**
     * One of the candidates, at random by weight: one in the zone if there is one, and none to avoid as long
     * as there is another.
     *
     * @param list<string> $avoid addresses that have just failed
     *
     * @throws NoInstance
     */
    public function pick(?string $role = null, ?string $zone = null, array $avoid = []): Instance
    {
        $all = $this->candidates($role);
        if (count($all) === 1) {
            return $all[0];
        }
        $fresh = array_filter($all, static fn (Instance $i): bool => !in_array($i->address, $avoid, true));
        $near = static fn (Instance $i): bool => $zone !== null && $i->zone === $zone;
        foreach ([array_filter($fresh, $near), $fresh, array_filter($all, $near), $all] as $choice) {
            if ($choice !== []) {
                return self::draw(array_values($choice));
            }
        }

        throw NoInstance::of($this->name, $role, count($this));
    }

    /** What stands beside an address may be a secret. */
    public function __debugInfo(): array
    {
        return ['name' => $this->name, 'addresses' => array_column($this->records, 'address')];
    }

    public function count(): int
    {
        return count($this->records);
    }

    public function getIterator(): \Iterator
    {
        return new \ArrayIterator($this->instances());
    }

    /** @param non-empty-list<Instance> $choice of weights above 0 */
    private static function draw(array $choice): Instance
    {
        $sum = array_sum(array_map(static fn (Instance $i): int => $i->weight, $choice));
        $at = random_int(1, $sum);
        foreach ($choice as $instance) {
            if (($at -= $instance->weight) <= 0) {
                return $instance;
            }
        }

        return $choice[0];
    }
}
