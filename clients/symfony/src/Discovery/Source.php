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
     * Seconds since the registry was last known to agree with what is answered; null when that is not known.
     */
    public function age(): ?float;

    /** What changes whenever the answers do; null as long as nothing was read. */
    public function version(): ?string;
}
