<?php

declare(strict_types=1);

namespace Waypost\Tests\Servers;

use Doctrine\DBAL\Configuration;
use Doctrine\DBAL\Connection;
use Doctrine\DBAL\DriverManager;
use Waypost\Discovery\Source;
use Waypost\Doctrine\DiscoveryMiddleware;
use Waypost\Doctrine\Settings;
use Waypost\Tests\FakeSource;

/**
 * Two servers of a kind, started by whoever runs the tests, and what happens to them.
 *
 * WAYPOST_TEST_MYSQL and WAYPOST_TEST_PGSQL each hold two ports, with a database `app` of the user `app`,
 * password `secret`; and for what only an administrator may do, MariaDB's sockets are in
 * WAYPOST_TEST_MYSQL_SOCKETS, where root needs no password, and PostgreSQL lets `postgres` in without one.
 */
final class Database
{
    /** @var list<int> */
    public readonly array $ports;

    /** @var array<int, \PDO> */
    private array $admins = [];

    private int $failures = 0;

    public function __construct(public readonly string $driver)
    {
        $this->ports = array_map('intval', explode(',', self::variable($this->isMysql() ? 'MYSQL' : 'PGSQL')));
        foreach ([0, 1] as $at) {
            $this->readOnly($at, false);
            $this->admin($at, 'DROP TABLE IF EXISTS node');
            $this->admin($at, 'CREATE TABLE node (id INT PRIMARY KEY, name VARCHAR(20))');
            $this->isMysql() || $this->admin($at, 'ALTER TABLE node OWNER TO app');
            $this->admin($at, "INSERT INTO node VALUES (1, 'server $at')");
        }
    }

    public static function variable(string $name): string
    {
        return (string) getenv("WAYPOST_TEST_$name") ?: throw new \RuntimeException("WAYPOST_TEST_$name is not set");
    }

    public function isMysql(): bool
    {
        return in_array($this->driver, ['pdo_mysql', 'mysqli'], true);
    }

    /** A registry that names one server after the other. */
    public function source(int ...$servers): FakeSource
    {
        return FakeSource::ports(...array_map(fn (int $at): int => $at < 0 ? -$at : $this->ports[$at], $servers));
    }

    /** @param array<string, mixed> $settings of the middleware */
    public function connect(Source $source, array $settings = [], array $params = []): Connection
    {
        $settings = new Settings('db', ...$settings + ['pause' => 0.01, 'idle' => 3600.0]);
        $notice = function (): void {
            ++$this->failures;
        };
        $configuration = (new Configuration())->setMiddlewares([new DiscoveryMiddleware($source, $settings, $notice)]);

        return DriverManager::getConnection($params + [
            'driver' => $this->driver,
            'dbname' => 'app',
            'user' => 'app',
            'password' => 'secret',
            'serverVersion' => $this->isMysql() ? '10.11.2-MariaDB' : '15.0',
        ], $configuration);
    }

    public function failures(): int
    {
        return $this->failures;
    }

    public function admin(int $at, string $sql): void
    {
        $socket = $this->isMysql() ? explode(',', self::variable('MYSQL_SOCKETS'))[$at] : '';
        $this->admins[$at] ??= $this->isMysql()
            ? new \PDO("mysql:unix_socket=$socket;dbname=app", 'root', '')
            : new \PDO("pgsql:host=127.0.0.1;port={$this->ports[$at]};dbname=app", 'postgres', '');
        $this->admins[$at]->exec($sql);
    }

    /** For PostgreSQL that is what new connections of the user find, as on a replica. */
    public function readOnly(int $at, bool $is): void
    {
        $this->admin($at, $this->isMysql()
            ? 'SET GLOBAL read_only = '.($is ? 1 : 0)
            : 'ALTER ROLE app SET default_transaction_read_only = '.($is ? 'on' : 'off'));
    }

    /** Ends all of the user's connections, as a server does that is stopped. */
    public function cut(int $at): void
    {
        $this->admin($at, $this->isMysql() ? "KILL CONNECTION USER 'app'@'127.0.0.1'"
            : 'DO $$ BEGIN PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity'
                ." WHERE usename = 'app'; END $$");
        // MariaDB says yes before they are gone.
        $end = microtime(true) + 20;
        while ($this->isMysql() && $this->connections($at) > 0) {
            microtime(true) < $end || throw new \RuntimeException('they are not gone');
            usleep(1000);
        }
    }

    /** How many rows of that id there are. */
    public function count(int $at, int $id): int
    {
        return (int) $this->admins[$at]->query("SELECT count(*) FROM node WHERE id = $id")->fetchColumn();
    }

    private function connections(int $at): int
    {
        $sql = "SELECT count(*) FROM information_schema.processlist WHERE user = 'app'";

        return (int) $this->admins[$at]->query($sql)->fetchColumn();
    }
}
