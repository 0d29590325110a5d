<?php

declare(strict_types=1);

namespace Waypost\Symfony;

use Psr\Log\LoggerInterface;

/**
 * A warning for each database connection that fails, also where the application notices nothing of it.
 *
 * @internal
 */
final class LogFailures
{
    public function __construct(private readonly ?LoggerInterface $logger = null)
    {
    }

    public function __invoke(string $address, \Throwable $why): void
    {
        $this->logger?->warning('waypost: the database at {address} failed: {reason}', [
            'address' => $address,
            'reason' => $why->getMessage(),
        ]);
    }
}
