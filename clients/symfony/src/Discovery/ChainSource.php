<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/**
 * The file as a rule; where a fresh answer is wanted, the agent before it.
 *
 * A source that fails is passed over, and what was answered before is better than nothing: `get` throws only
 * when nobody has ever known the service.
 */
final class ChainSource implements Source, Forgetful
{
    /** @var array<string, Service> */
    private array $last = [];

    /** @var array<string, list<array<string, mixed>>> what the file had */
    private array $lastRecords = [];

    public function __construct(private readonly Source $file, private readonly ?Source $agent = null)
    {
    }

    public function get(string $service, bool $fresh = false): Service
    {
        try {
            // Nearly all look-ups are this one.
            return $this->last[$service] = $fresh ? $this->ask($service) : $this->file->get($service);
        } catch (Unavailable $first) {
        }
        // Whoever was not asked yet.
        try {
            $other = $fresh || $this->agent === null ? $this->file : $this->agent;

            return $this->last[$service] = $other->get($service, $fresh);
        } catch (Unavailable $second) {
            $reasons = array_values(array_unique([...$first->reasons, ...$second->reasons]));

            return $this->last[$service] ?? throw Unavailable::afterAll($service, $reasons);
        }
    }

    public function records(string $service): array
    {
        try {
            return $this->lastRecords[$service] = $this->file->records($service);
        } catch (Unavailable) {
        }
        try {
            return $this->get($service)->records();
        } catch (Unavailable $why) {
            return $this->lastRecords[$service] ?? throw $why;
        }
    }

    public function age(): ?float
    {
        return $this->file->age() ?? $this->agent?->age();
    }

    public function version(): ?string
    {
        return $this->file->version() ?? $this->agent?->version();
    }

    public function forget(): void
    {
        foreach ([$this->file, $this->agent] as $source) {
            if ($source instanceof Forgetful) {
                $source->forget();
            }
        }
    }

    /** The freshest answer; later look-ups, and other processes, are not to fail as this one just did. */
    private function ask(string $service): Service
    {
        $this->forget();

        return ($this->agent ?? $this->file)->get($service, true);
    }
}
