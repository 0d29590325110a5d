<?php

declare(strict_types=1);

namespace Waypost\Tests\Doctrine;

use Doctrine\DBAL\Driver\Connection;
use PHPUnit\Framework\TestCase;
use Waypost\Discovery\Source;
use Waypost\Doctrine\Dialer;
use Waypost\Doctrine\NotFound;
use Waypost\Doctrine\Settings;
use Waypost\Doctrine\Timeouts;
use Waypost\Tests\FakeSource;

final class DialerTest extends TestCase
{
    /** @var list<string> what was told of failures */
    private array $told = [];

    private function dial(Source $source, FakeDriver $driver, array $settings = [], array $params = []): string
    {
        $settings = new Settings('db', ...$settings + ['pause' => 0.001]);
        $notice = function (string $address, \Throwable $why): void {
            $this->told[] = $address.': '.$why->getMessage();
        };
        $dialer = new Dialer($source, $settings, $driver->open(), $params + ['driver' => 'pdo_mysql'], $notice);

        return $dialer->dial($dialer->begin())[1]->address;
    }

    private function good(int $port): FakeDriver
    {
        return new FakeDriver([$port => $this->createStub(Connection::class)]);
    }

    public function testT2ARegistryThatIsStaleTwiceIsAskedFreshUntilItAnswers(): void
    {
        $source = FakeSource::ports(1, 2, 3);
        self::assertSame('127.0.0.1:3', $this->dial($source, $this->good(3)));
        self::assertSame([false, true, true], $source->asked);
        self::assertSame(['127.0.0.1:1: Connection refused', '127.0.0.1:2: Connection refused'], $this->told);
    }

    public function testWhatTheRegistrySaysGoesBeforeWhatIsConfigured(): void
    {
        $driver = $this->good(3306);
        $meta = ['user' => 'app', 'password' => 'new', 'dbname' => 'shop', 'other' => 'x'];
        $params = ['host' => 'old', 'user' => 'old', 'charset' => 'utf8mb4', 'unix_socket' => '/s', 'dbname' => 'old'];
        $this->dial(new FakeSource([FakeSource::record(3306, ['meta' => $meta])]), $driver, params: $params);
        self::assertSame([
            'host' => '127.0.0.1', 'port' => 3306, 'user' => 'app', 'password' => 'new', 'dbname' => 'shop',
            'charset' => 'utf8mb4', 'driver' => 'pdo_mysql',
        ], array_diff_key($driver->attempts[0], ['driverOptions' => 1]));
    }

    public function testT5WhenAllAreDeadItGivesUpAfterItsAttempts(): void
    {
        $driver = new FakeDriver([]);
        try {
            $this->dial(FakeSource::ports(1), $driver);
            self::fail('nobody answers');
        } catch (\Throwable $why) {
            self::assertSame('Connection refused', $why->getMessage());
        }
        self::assertCount(5, $driver->attempts);
    }

    public function testT5NoAttemptBeginsAfterTheBudget(): void
    {
        $driver = new FakeDriver([]);
        try {
            $this->dial(FakeSource::ports(1), $driver, ['attempts' => 1000, 'budget' => 0.05, 'pause' => 0.02]);
            self::fail('nobody answers');
        } catch (\Throwable $why) {
            self::assertSame('Connection refused', $why->getMessage());
        }
        self::assertLessThanOrEqual(3, count($driver->attempts), 'there is room for one pause or two');
    }

    public function testT5WhenTimeIsUpOneMoreNewAddressIsTriedAndNoOther(): void
    {
        $driver = new FakeDriver([]);
        try {
            $this->dial(FakeSource::ports(1, 2, 3, 4), $driver, ['budget' => 0.0]);
            self::fail('nobody answers');
        } catch (\Throwable) {
            self::assertSame([1], $driver->ports());
        }
    }

    public function testAnotherInstanceIsTriedBeforeTheSameOneAgain(): void
    {
        $driver = $this->good(2);
        $records = [FakeSource::record(1, ['weight' => 1_000_000]), FakeSource::record(2), FakeSource::record(3)];
        // A pause would be for ever.
        $this->dial(new FakeSource($records), $driver, ['pause' => 3600.0]);
        self::assertSame(array_unique($driver->ports()), $driver->ports());
    }

    public function testAWrongPasswordIsNotTriedAgain(): void
    {
        $denied = FakeDriver::error(1045, 'Access denied');
        $driver = new FakeDriver([1 => $denied]);
        try {
            $this->dial(FakeSource::ports(1), $driver);
            self::fail('it is refused');
        } catch (\Throwable $why) {
            self::assertSame($denied, $why);
        }
        self::assertCount(1, $driver->attempts);
    }

    public function testAPasswordThatWasChangedInTheRegistryIsTried(): void
    {
        $old = [FakeSource::record(1, ['meta' => ['password' => 'old']])];
        $new = [FakeSource::record(1, ['meta' => ['password' => 'new']])];
        $good = $this->createStub(Connection::class);
        $passwords = [];
        $open = static function (array $params) use (&$passwords, $good): Connection {
            $passwords[] = $params['password'];

            return $params['password'] === 'new' ? $good : throw FakeDriver::error(1045, 'Access denied');
        };
        $settings = new Settings('db', pause: 3600.0);
        $dialer = new Dialer(new FakeSource($old, $new), $settings, $open, [], static fn () => null);
        $dialer->dial($dialer->begin());
        self::assertSame(['old', 'new'], $passwords);
    }

    public function testPostgresWordsForARefusalAreKnown(): void
    {
        $refusals = ['FATAL:  password authentication failed for user "app"', 'FATAL:  role "x" does not exist'];
        foreach ($refusals as $said) {
            $driver = new FakeDriver([1 => FakeDriver::error(7, 'SQLSTATE[08006] [7] '.$said, '08006')]);
            try {
                $this->dial(FakeSource::ports(1), $driver);
                self::fail('it is refused');
            } catch (\Throwable) {
                self::assertCount(1, $driver->attempts, $said);
            }
        }
        $starting = FakeDriver::error(7, 'SQLSTATE[08006] [7] FATAL:  the database system is starting up', '08006');
        $driver = new FakeDriver([1 => $starting]);
        try {
            $this->dial(FakeSource::ports(1), $driver);
        } catch (\Throwable) {
            self::assertCount(5, $driver->attempts);
        }
    }

    public function testWhatIsNoFailureToConnectIsThrownAtOnce(): void
    {
        $driver = new FakeDriver([1 => FakeDriver::error(1115, 'Unknown character set')]);
        try {
            $this->dial(FakeSource::ports(1), $driver);
            self::fail('it is refused');
        } catch (\Throwable) {
            self::assertCount(1, $driver->attempts);
        }
    }

    public function testBetweenTheEndOfOnePrimaryAndTheNextItWaits(): void
    {
        $replica = [FakeSource::record(2, ['role' => 'replica'])];
        $primary = [FakeSource::record(2, ['role' => 'primary'])];
        $source = new FakeSource($replica, $replica, $primary);
        self::assertSame('127.0.0.1:2', $this->dial($source, $this->good(2), ['role' => 'primary']));
        self::assertSame([false, true, true], $source->asked);
    }

    public function testAPrimaryThatNeverComesIsSaid(): void
    {
        $this->expectException(NotFound::class);
        $this->expectExceptionMessage('service "db": none of 1 instance(s) has the role "primary"');
        $settings = ['role' => 'primary', 'budget' => 0.02];
        $this->dial(new FakeSource([FakeSource::record(2, ['role' => 'replica'])]), $this->good(2), $settings);
    }

    public function testAServiceThatNobodyKnowsIsSaidAtOnce(): void
    {
        $source = new FakeSource(null);
        try {
            $this->dial($source, $this->good(1), ['pause' => 3600.0]);
            self::fail('nobody knows it');
        } catch (NotFound $why) {
            self::assertStringContainsString('service "db" is not known: fake: told so.', $why->getMessage());
            self::assertSame([false], $source->asked);
        }
    }

    public function testLocalhostIsTheLoopbackAddressForMysqlWhichWouldTakeItsSocket(): void
    {
        $hosts = ['pdo_mysql' => '127.0.0.1', 'mysqli' => '127.0.0.1', 'pdo_pgsql' => 'localhost'];
        foreach ($hosts as $name => $host) {
            $driver = $this->good(1);
            $source = new FakeSource([FakeSource::record(1, ['host' => 'localhost'])]);
            $this->dial($source, $driver, [], ['driver' => $name]);
            self::assertSame($host, $driver->attempts[0]['host'], $name);
        }
    }

    public function testARecordCannotSmuggleOptionsIntoTheConnectionString(): void
    {
        foreach ([['host' => 'a;unix_socket=/s'], ['meta' => ['dbname' => 'a;host=b']], ['host' => 'a b']] as $record) {
            try {
                $this->dial(new FakeSource([FakeSource::record(1, $record)]), $this->good(1));
                self::fail('it is refused');
            } catch (\UnexpectedValueException $why) {
                $wanted = '/^service "db", instance "1": the registry\'s (host|dbname) has/';
                self::assertMatchesRegularExpression($wanted, $why->getMessage());
            }
        }
    }

    public function testEachDriverGetsItsTimeout(): void
    {
        $wanted = [
            'pdo_mysql' => [\PDO::ATTR_TIMEOUT => 3],
            'mysqli' => [\MYSQLI_OPT_CONNECT_TIMEOUT => 3, \MYSQLI_OPT_READ_TIMEOUT => 4],
            'pdo_pgsql' => [\PDO::ATTR_TIMEOUT => 3],
        ];
        foreach ($wanted as $name => $options) {
            $driver = $this->good(1);
            $settings = ['connectTimeout' => 3, 'readTimeout' => 4];
            $params = ['driver' => $name, 'driverOptions' => [1000 => true]];
            $this->dial(FakeSource::ports(1), $driver, $settings, $params);
            self::assertSame([1000 => true] + $options, $driver->attempts[0]['driverOptions'], $name);
        }
    }

    public function testTheApplicationsOwnTimeoutOfLibpqStays(): void
    {
        putenv('PGCONNECT_TIMEOUT=7');
        try {
            $open = function (): Connection {
                self::assertSame('7', getenv('PGCONNECT_TIMEOUT'));

                return $this->createMock(Connection::class);
            };
            (new Timeouts(new Settings('db')))->open($open, ['driver' => 'pgsql']);
            self::assertSame('7', getenv('PGCONNECT_TIMEOUT'));
        } finally {
            putenv('PGCONNECT_TIMEOUT');
        }
    }

    public function testTheTimeoutsOfTheProcessAreAsTheyWereAfterwards(): void
    {
        $before = [ini_get('mysqlnd.net_read_timeout'), getenv('PGCONNECT_TIMEOUT')];
        $seen = [];
        foreach (['pdo_mysql', 'pgsql'] as $name) {
            $open = function () use (&$seen): Connection {
                $seen[] = [ini_get('mysqlnd.net_read_timeout'), getenv('PGCONNECT_TIMEOUT')];

                return $this->createStub(Connection::class);
            };
            $settings = new Settings('db', connectTimeout: 3, readTimeout: 4);
            $dialer = new Dialer(FakeSource::ports(1), $settings, $open, ['driver' => $name], static fn () => null);
            $dialer->dial($dialer->begin());
        }
        self::assertSame([['4', false], [$before[0], '3']], $seen);
        self::assertSame($before, [ini_get('mysqlnd.net_read_timeout'), getenv('PGCONNECT_TIMEOUT')]);
    }
}
