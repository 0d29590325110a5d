<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Doctrine\DBAL\Driver\Connection;
use Doctrine\DBAL\Driver\Statement;

/** @internal */
final class Dbal4Connection extends DiscoveryConnection
{
    public function quote(string $value): string
    {
        return $this->session->connection()->quote($value);
    }

    public function lastInsertId(): int|string
    {
        return $this->session->connection()->lastInsertId();
    }

    public function beginTransaction(): void
    {
        $this->session->begin(static fn (Connection $c) => $c->beginTransaction());
    }

    public function commit(): void
    {
        $this->session->end(static fn (Connection $c) => $c->commit());
    }

    public function rollBack(): void
    {
        $this->session->end(static fn (Connection $c) => $c->rollBack());
    }

    protected function statement(Statement $statement, string $sql): Statement
    {
        return new Dbal4Statement($this->session, $sql, $statement);
    }
}
