<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Doctrine\DBAL\Driver\Connection;
use Doctrine\DBAL\Driver\Result;
use Doctrine\DBAL\Driver\Statement;

/**
 * A prepared statement that outlives its connection: on another one it is prepared and bound again.
 *
 * @internal
 */
abstract class DiscoveryStatement implements Statement
{
    /** @var array<int|string, \Closure(Statement): mixed> binds each parameter anew */
    private array $bindings = [];

    /** True if a stream is bound: what was read of it is gone. */
    private bool $streams = false;

    private Statement $statement;

    /** What the statement is of; after it, since a statement of the driver `pgsql` must not outlive that. */
    private Connection $connection;

    public function __construct(
        private readonly Session $session,
        private readonly string $sql,
        Statement $statement,
    ) {
        $this->statement = $statement;
        $this->connection = $session->connection();
    }

    /** @param \Closure(Statement): mixed $bind */
    protected function bind(int|string $param, bool $isStream, \Closure $bind): mixed
    {
        $this->bindings[$param] = $bind;
        $this->streams = $this->streams || $isStream;

        return $bind($this->statement);
    }

    /** @param \Closure(Statement): Result $execute */
    protected function run(\Closure $execute): Result
    {
        $do = fn (Connection $connection): Result => $execute($this->on($connection));
        try {
            return $this->session->run($this->streams ? Repeat::never() : Repeat::statement($this->sql), $do);
        } finally {
            $this->session->note($this->sql);
        }
    }

    private function on(Connection $connection): Statement
    {
        if ($this->connection !== $connection) {
            $this->statement = $connection->prepare($this->sql);
            $this->connection = $connection;
            foreach ($this->bindings as $bind) {
                $bind($this->statement);
            }
        }

        return $this->statement;
    }
}
