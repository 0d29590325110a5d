<?php

declare(strict_types=1);

namespace Waypost\Tests\Servers;

use Doctrine\DBAL\Exception as DbalException;
use Doctrine\DBAL\Exception\ConnectionException;
use PHPUnit\Framework\TestCase;
use Waypost\Tests\FakeSource;

/** Who is connected to, on real MariaDB and PostgreSQL through each of DBAL's drivers. */
final class ConnectingTest extends TestCase
{
    private const NAME = 'SELECT name FROM node WHERE id = 1';

    /** @return iterable<string, array{string}> */
    public static function drivers(): iterable
    {
        foreach (['pdo_mysql', 'mysqli', 'pdo_pgsql', 'pgsql'] as $driver) {
            yield $driver => [$driver];
        }
    }

    /** @dataProvider drivers */
    public function testT1NothingIsAskedBeforeTheFirstQueryAndThenOnce(string $driver): void
    {
        $database = new Database($driver);
        $source = $database->source(0);
        $connection = $database->connect($source);
        $connection->getDatabasePlatform();
        self::assertSame([], $source->asked);
        self::assertSame('server 0', $connection->fetchOne(self::NAME));
        self::assertSame('server 0', $connection->fetchOne(self::NAME));
        self::assertSame([false], $source->asked);
    }

    /** @dataProvider drivers */
    public function testT2ARegistryThatIsStaleTwiceCostsNothingButTwoAttempts(string $driver): void
    {
        $database = new Database($driver);
        $source = $database->source(-9, -11, 1);
        self::assertSame('server 1', $database->connect($source)->fetchOne(self::NAME));
        self::assertSame([false, true, true], $source->asked);
        self::assertSame(2, $database->failures());
    }

    /** @dataProvider drivers */
    public function testT5WhenAllAreDeadItGivesUpWithinTheBudget(string $driver): void
    {
        $database = new Database($driver);
        $connection = $database->connect($database->source(-9), ['pause' => 0.1, 'budget' => 0.5, 'attempts' => 1000]);
        $begin = microtime(true);
        try {
            $connection->fetchOne(self::NAME);
            self::fail('nobody listens there');
        } catch (ConnectionException) {
            self::assertLessThan(0.5 + 1, microtime(true) - $begin);
        }
        self::assertGreaterThan(1, $database->failures());
        self::assertLessThan(7, $database->failures(), '0.1 s, 0.2 s and 0.4 s are more than there is');
    }

    /** @dataProvider drivers */
    public function testAServiceWithoutAPrimaryIsAConnectionExceptionToDoctrine(string $driver): void
    {
        $database = new Database($driver);
        $settings = ['role' => 'primary', 'budget' => 0.05];
        $this->expectException(ConnectionException::class);
        $this->expectExceptionMessage('service "db": none of 1 instance(s) has the role "primary"');
        $source = new FakeSource([FakeSource::record(9, ['role' => 'replica'])]);
        $database->connect($source, $settings)->fetchOne(self::NAME);
    }

    /** @dataProvider drivers */
    public function testT5AWrongStatementIsSentOnce(string $driver): void
    {
        $database = new Database($driver);
        $source = $database->source(0, 1);
        $connection = $database->connect($source);
        try {
            $connection->fetchOne('SELECT FROM WHERE');
            self::fail('it is wrong');
        } catch (DbalException\SyntaxErrorException) {
            self::assertSame([false], $source->asked);
        }
        self::assertSame('server 0', $connection->fetchOne(self::NAME));
    }

    /** @dataProvider drivers */
    public function testAWrongPasswordIsSentOnceWhileTheRegistryHasNoOther(string $driver): void
    {
        if (!(new Database($driver))->isMysql()) {
            // This PostgreSQL trusts everybody; an unknown user is what it refuses.
            $record = ['meta' => ['user' => 'nobody']];
        }
        $database = new Database($driver);
        $record = FakeSource::record($database->ports[0], $record ?? ['meta' => ['password' => 'wrong']]);
        $source = new FakeSource([$record]);
        try {
            $database->connect($source)->fetchOne(self::NAME);
            self::fail('it is wrong');
        } catch (ConnectionException) {
            self::assertSame(1, $database->failures());
            self::assertSame([false, true], $source->asked);
        }
    }

    /** @dataProvider drivers */
    public function testUserPasswordAndDatabaseAreTheRegistrys(string $driver): void
    {
        $database = new Database($driver);
        $meta = ['user' => 'app', 'password' => 'secret', 'dbname' => 'app'];
        $source = new FakeSource([FakeSource::record($database->ports[1], ['meta' => $meta])]);
        $configured = ['user' => 'x', 'password' => 'y', 'dbname' => 'z', 'host' => 'h'];
        $connection = $database->connect($source, [], $configured);
        self::assertSame('server 1', $connection->fetchOne(self::NAME));
    }

    /** @dataProvider drivers */
    public function testWithoutReconnectingTheDriversOwnConnectionIsUsed(string $driver): void
    {
        $database = new Database($driver);
        $connection = $database->connect($database->source(-9, 0), ['reconnect' => false]);
        self::assertSame('server 0', $connection->fetchOne(self::NAME));
    }

    /** @dataProvider drivers */
    public function testT6AServerThatAcceptsAndNeverSpeaksTakesOneTimeout(string $driver): void
    {
        $listener = stream_socket_server('tcp://127.0.0.1:0');
        $this->takesOneTimeout($driver, $listener);
    }

    /** @dataProvider drivers */
    public function testT6AServerThatTakesNoMoreConnectionsTakesOneTimeout(string $driver): void
    {
        // The kernel drops what does not fit into the queue of connections that nobody accepts.
        $full = stream_context_create(['socket' => ['backlog' => 0]]);
        $flags = STREAM_SERVER_BIND | STREAM_SERVER_LISTEN;
        $listener = stream_socket_server('tcp://127.0.0.1:0', $code, $why, $flags, $full);
        $address = 'tcp://'.stream_socket_get_name($listener, false);
        $waiting = [];
        for ($i = 0; $i < 4; ++$i) {
            $flags = STREAM_CLIENT_CONNECT | STREAM_CLIENT_ASYNC_CONNECT;
            $waiting[] = stream_socket_client($address, $code, $why, 1, $flags);
        }
        $this->takesOneTimeout($driver, $listener);
    }

    /** @param resource $listener */
    private function takesOneTimeout(string $driver, $listener): void
    {
        $database = new Database($driver);
        $port = (int) substr(strrchr(stream_socket_get_name($listener, false), ':'), 1);
        $source = FakeSource::ports($port, $database->ports[0]);
        $begin = microtime(true);
        $connection = $database->connect($source, ['connectTimeout' => 1, 'readTimeout' => 1]);
        self::assertSame('server 0', $connection->fetchOne(self::NAME));
        // libpq makes two seconds of one.
        self::assertLessThan(($database->isMysql() ? 1 : 2) + 1, microtime(true) - $begin);
        self::assertSame(1, $database->failures());
    }
}
