<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Doctrine\DBAL\Driver\Connection;
use Doctrine\DBAL\Driver\ServerInfoAwareConnection;
use Doctrine\DBAL\Driver\Statement;
use Doctrine\DBAL\ParameterType;

/** @internal */
final class Dbal3Connection extends DiscoveryConnection implements ServerInfoAwareConnection
{
    public function quote($value, $type = ParameterType::STRING)
    {
        return $this->session->connection()->quote($value, $type);
    }

    public function lastInsertId($name = null)
    {
        return $this->session->connection()->lastInsertId($name);
    }

    public function beginTransaction()
    {
        return $this->session->begin(static fn (Connection $c) => self::checked($c, $c->beginTransaction()));
    }

    public function commit()
    {
        // Or a lost commit would be a `false`, which `transactional()` does not look at.
        return $this->session->end(static fn (Connection $c) => self::checked($c, $c->commit()));
    }

    public function rollBack()
    {
        try {
            return $this->session->end(static fn (Connection $c) => self::checked($c, $c->rollBack()));
        } catch (\mysqli_sql_exception) {
            // As DBAL 3 says it: an exception here would hide the one that led here.
            return false;
        }
    }

    /** DBAL 3 does not look at what mysqli answered, and mysqli throws nothing at a transaction's ends. */
    private static function checked(Connection $connection, $result)
    {
        $native = method_exists($connection, 'getNativeConnection') ? $connection->getNativeConnection() : null;
        if ($native instanceof \mysqli && $native->errno !== 0) {
            throw new \mysqli_sql_exception($native->error, $native->errno);
        }

        return $result;
    }

    protected function statement(Statement $statement, string $sql): Statement
    {
        return new Dbal3Statement($this->session, $sql, $statement);
    }
}
