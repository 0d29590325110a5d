<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Doctrine\DBAL\Driver\Connection;

/**
 * Bounds what one attempt to connect takes; each driver has a way of its own, and none has a bound by itself.
 *
 * @internal
 */
final class Timeouts
{
    private const READ_TIMEOUT = 'mysqlnd.net_read_timeout';

    public function __construct(private readonly Settings $settings)
    {
    }

    /** @param \Closure(array): Connection $connect */
    public function open(\Closure $connect, #[\SensitiveParameter] array $params): Connection
    {
        // Beside its exception, mysqlnd warns; a debugging error handler would throw that instead.
        $open = static fn (#[\SensitiveParameter] array $params): Connection => @$connect($params);

        return match (self::driver($params)) {
            'pdo_mysql' => $this->withReadTimeout($open, self::overLoopback($this->withOptions($params, [
                \PDO::ATTR_TIMEOUT => $this->settings->connectTimeout,
            ]))),
            'mysqli' => $open(self::overLoopback($this->withOptions($params, array_filter([
                \MYSQLI_OPT_CONNECT_TIMEOUT => $this->settings->connectTimeout,
                \MYSQLI_OPT_READ_TIMEOUT => $this->settings->readTimeout,
            ])))),
            'pdo_pgsql' => $open($this->withOptions($params, [
                \PDO::ATTR_TIMEOUT => $this->settings->connectTimeout,
            ])),
            'pgsql' => $this->withLibpqTimeout($open, $params),
            default => $open($params),
        };
    }

    /** DBAL's name of the driver, of those that have a way here. */
    public static function driver(#[\SensitiveParameter] array $params): string
    {
        return $params['driver'] ?? match ($params['driverClass'] ?? null) {
            \Doctrine\DBAL\Driver\PDO\MySQL\Driver::class => 'pdo_mysql',
            \Doctrine\DBAL\Driver\Mysqli\Driver::class => 'mysqli',
            \Doctrine\DBAL\Driver\PDO\PgSQL\Driver::class => 'pdo_pgsql',
            \Doctrine\DBAL\Driver\PgSQL\Driver::class => 'pgsql',
            default => '',
        };
    }

    /** Options that the application sets itself stay as they are. */
    private function withOptions(#[\SensitiveParameter] array $params, array $options): array
    {
        return ['driverOptions' => ($params['driverOptions'] ?? []) + $options] + $params;
    }

    /** MySQL's client takes `localhost` for its Unix socket, and ignores the port. */
    private static function overLoopback(#[\SensitiveParameter] array $params): array
    {
        $isSocket = strtolower($params['host'] ?? '') === 'localhost';

        return $isSocket ? ['host' => '127.0.0.1'] + $params : $params;
    }

    /** PDO has no option for it; mysqlnd looks at its setting when a connection is made. */
    private function withReadTimeout(\Closure $open, #[\SensitiveParameter] array $params): Connection
    {
        if ($this->settings->readTimeout === null) {
            return $open($params);
        }
        $before = ini_set(self::READ_TIMEOUT, (string) $this->settings->readTimeout);
        try {
            return $open($params);
        } finally {
            $before === false || ini_set(self::READ_TIMEOUT, $before);
        }
    }

    /** DBAL passes no timeout on to pg_connect; libpq looks at its variable, which may be the application's. */
    private function withLibpqTimeout(\Closure $open, #[\SensitiveParameter] array $params): Connection
    {
        if (getenv('PGCONNECT_TIMEOUT') !== false) {
            return $open($params);
        }
        putenv('PGCONNECT_TIMEOUT='.$this->settings->connectTimeout);
        try {
            return $open($params);
        } finally {
            putenv('PGCONNECT_TIMEOUT');
        }
    }
}
