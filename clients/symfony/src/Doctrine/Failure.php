<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Doctrine\DBAL\Driver\Exception as DriverException;

/**
 * What a driver's exception means for discovery. DBAL's own classes do not tell: a wrong password and a
 * server that is gone are both a ConnectionException to it.
 *
 * Codes: MariaDB's and MySQL's error reference (1xxx the server's, 2xxx the client's), PostgreSQL's appendix
 * A.
 *
 * @internal
 */
final class Failure
{
    /** Too many connections, shutdown, host or server not there, gone, connection killed. */
    private const MYSQL_AWAY = [1040, 1053, 1129, 1203, 1927, 2002, 2003, 2005, 2006, 2012, 2013, 2055];

    /** Access denied (for a database, at all, without a password), no or unknown database. */
    private const MYSQL_DENIED = [1044, 1045, 1046, 1049, 1251, 1698];

    /** The connection or the server ended: idle for too long, shut down, killed, gone, lost in a query. */
    private const MYSQL_LOST = [1053, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2055, 4031];

    /** A read-only transaction, or InnoDB, or the server while it is upgraded. */
    private const MYSQL_READ_ONLY = [1792, 1836];

    /** A server option prevents the statement: it may be --read-only, and its message is the server's. */
    private const MYSQL_OPTION_PREVENTS = 1290;

    /** libpq says no more than that connecting failed; why is in the server's message. */
    private const PGSQL_DENIED = '/authentication failed|does not exist|no pg_hba\.conf entry'
        .'|is not permitted|permission denied|no password supplied/';

    private const PGSQL_LOST = '/server closed the connection|no connection to the server'
        .'|terminating connection|connection has been closed|connection not open'
        .'|could not (send|receive) data/i';

    /** True if another attempt to connect, or another server, may succeed. */
    public static function isAway(\Throwable $error): bool
    {
        if (self::isMysql($error)) {
            return in_array(self::code($error), self::MYSQL_AWAY, true);
        }

        // Connection, resources, operator intervention; PDO has HY000 where libpq says nothing.
        $mayPass = in_array(substr(self::state($error), 0, 2), ['08', '53', '57', 'HY', ''], true);

        return self::isOther($error) && $mayPass && !self::isDenied($error);
    }

    /** True if the server is there and does not want this user, or has no such database. */
    public static function isDenied(\Throwable $error): bool
    {
        if (self::isMysql($error)) {
            return in_array(self::code($error), self::MYSQL_DENIED, true);
        }

        return self::isOther($error) && preg_match(self::PGSQL_DENIED, $error->getMessage()) === 1;
    }

    /**
     * True if a connection that was established is no more. Whether its last statement was done is unknown.
     */
    public static function isLost(\Throwable $error): bool
    {
        if (self::isMysql($error)) {
            return in_array(self::code($error), self::MYSQL_LOST, true);
        }
        $state = self::state($error);

        return in_array($state, ['57P01', '57P02', '57P03'], true) || str_starts_with($state, '08')
            || (self::isOther($error) && preg_match(self::PGSQL_LOST, $error->getMessage()) === 1);
    }

    /** True if the server refused the statement because it is read-only: nothing was done. */
    public static function isReadOnly(\Throwable $error): bool
    {
        if (!self::isMysql($error)) {
            return self::state($error) === '25006';
        }

        return in_array(self::code($error), self::MYSQL_READ_ONLY, true)
            || (self::code($error) === self::MYSQL_OPTION_PREVENTS
                && preg_match('/--(super-)?read-only/', $error->getMessage()) === 1);
    }

    /** MySQL's errors have numbers above 1000; with PostgreSQL it is libpq's state, below 10. */
    private static function isMysql(\Throwable $error): bool
    {
        $known = $error instanceof DriverException || $error instanceof \mysqli_sql_exception;

        return $known && self::code($error) >= 1000;
    }

    /** PDO's own exceptions, which DBAL 3 throws at a transaction's ends, have the state in its place. */
    private static function code(\Throwable $error): int
    {
        return (int) ($error instanceof \PDOException ? $error->errorInfo[1] ?? 0 : $error->getCode());
    }

    private static function isOther(\Throwable $error): bool
    {
        return $error instanceof DriverException && !self::isMysql($error);
    }

    private static function state(\Throwable $error): string
    {
        return $error instanceof DriverException ? (string) $error->getSQLState() : '';
    }
}
