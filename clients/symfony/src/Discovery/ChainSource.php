<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/**
 * The file as a rule; where a fresh answer is wanted, the agent before it.
 *
 * A source that fails is passed over, and what was answered before is better than nothing: `get` throws only when
 * nobody has ever known the service.
 */
final class ChainSource implements Source, Forgetful
{
    /** @var array<string, Service> */
    private array $last = [];

    public function __construct(private readonly Source $file, private readonly ?Source $agent = null)
    {
    }

    public function get(string $service, bool $fresh = false): Service
    {
        if ($fresh) {
            // Also for later look-ups, and other processes: they are not to fail as this one just did.
            $this->forget();
        }
        $reasons = [];
        foreach ($this->inOrder($fresh) as $source) {
            try {
                return $this->last[$service] = $source->get($service, $fresh);
            } catch (Unavailable $why) {
                array_push($reasons, ...$why->reasons);
            }
        }

        return $this->last[$service] ?? throw Unavailable::afterAll($service, $reasons);
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

    /** @return list<Source> */
    private function inOrder(bool $fresh): array
    {
        $order = array_filter([$this->file, $this->agent]);

        return $fresh ? array_reverse($order) : $order;
    }
}
