<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Doctrine\DBAL\Driver\Connection;
use Doctrine\DBAL\Driver\Result;
use Doctrine\DBAL\Driver\Statement;

/**
 * What DBAL 3 and 4 have in common of a connection; what they return from the rest differs.
 *
 * @internal
 */
abstract class DiscoveryConnection implements Connection
{
    public function __construct(protected readonly Session $session)
    {
    }

    public function prepare(string $sql): Statement
    {
        $prepare = static fn (Connection $c): Statement => $c->prepare($sql);
        $statement = $this->session->run(Repeat::preparing($sql), $prepare);

        return $this->statement($statement, $sql);
    }

    public function query(string $sql): Result
    {
        return $this->run($sql, static fn (Connection $c): Result => $c->query($sql));
    }

    public function exec(string $sql): int
    {
        return (int) $this->run($sql, static fn (Connection $c) => $c->exec($sql));
    }

    /** The driver's own handle; from then on the connection is never replaced. */
    public function getNativeConnection()
    {
        return $this->session->bind()->getNativeConnection();
    }

    public function getServerVersion(): string
    {
        return $this->session->connection()->getServerVersion();
    }

    abstract protected function statement(Statement $statement, string $sql): Statement;

    private function run(string $sql, \Closure $do): mixed
    {
        try {
            return $this->session->run(Repeat::statement($sql), $do);
        } finally {
            $this->session->note($sql);
        }
    }
}
