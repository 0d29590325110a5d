<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Doctrine\DBAL\Driver;
use Doctrine\DBAL\Driver\Middleware;
use Waypost\Discovery\Source;

/**
 * Gives a connection its host, port, user, password and database at the moment it connects, and leads it to
 * another server when that one is gone.
 *
 * Add it to a connection's `Doctrine\DBAL\Configuration::setMiddlewares()`, or let DoctrineBundle do that by
 * the tag `doctrine.middleware`. One instance serves any number of connections to the same service.
 */
final class DiscoveryMiddleware implements Middleware
{
    /**
     * @param (callable(string, \Throwable): void)|null $notice is told of each failure: the address, and why
     */
    public function __construct(
        private readonly Source $source,
        private readonly Settings $settings,
        private $notice = null,
    ) {
    }

    public function wrap(Driver $driver): Driver
    {
        $notice = $this->notice === null ? static fn () => null : \Closure::fromCallable($this->notice);

        return new DiscoveryDriver($driver, $this->source, $this->settings, $notice);
    }
}
