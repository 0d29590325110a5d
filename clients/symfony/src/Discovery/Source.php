<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/**
 * Where services are looked up. An implementation answers within bounded time, and never asks the registry
 * itself.
 */
interface Source
{
    /**
     * The service as it is known now; one without instances is an empty service.
     *
     * @param bool $fresh whether to go past every cache on the way, as after a connection that failed
     *
     * @throws Unavailable when nothing is known about it
     */
    public function get(string $service, bool $fresh = false): Service;

    /**
     * The instances as the agent wrote them, for those who count microseconds: where a file is at hand no
     * object is made, and the look-up costs what an `include` of a constant array costs.
     *
     * @return list<array<string, mixed>>
     *
     * @throws Unavailable when nothing is known about the service
     */
    public function records(string $service): array;

    /**
     * Seconds since the registry was last known to agree with what is answered; null when that is not known.
     */
    public function age(): ?float;

    /** What changes whenever the answers do; null as long as nothing was read. */
    public function version(): ?string;
}
