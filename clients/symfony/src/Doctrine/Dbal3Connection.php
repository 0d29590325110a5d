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
        return $this->session->begin(static function (Connection $c) {
            $result = $c->beginTransaction();
            // DBAL 3 does not look at what mysqli answered, and mysqli throws nothing here.
            $native = method_exists($c, 'getNativeConnection') ? $c->getNativeConnection() : null;
            if ($native instanceof \mysqli && $native->errno !== 0) {
                throw new \mysqli_sql_exception($native->error, $native->errno);
            }

            return $result;
        });
    }

    public function commit()
    {
        return $this->session->end(static fn (Connection $c) => $c->commit());
    }

    public function rollBack()
    {
        return $this->session->end(static fn (Connection $c) => $c->rollBack());
    }

    protected function statement(Statement $statement, string $sql): Statement
    {
        return new Dbal3Statement($this->session, $sql, $statement);
    }
}
