<?php

declare(strict_types=1);

namespace Waypost\Tests\Servers;

use Doctrine\DBAL\Connection;
use Doctrine\DBAL\Exception\DriverException;
use Doctrine\DBAL\ParameterType;
use PHPUnit\Framework\TestCase;
use Waypost\Tests\FakeSource;

/**
 * What becomes of statements when their server turns read-only or goes away: the same for each of DBAL's
 * drivers.
 */
final class MovingTest extends TestCase
{
    private const NAME = 'SELECT name FROM node WHERE id = 1';
    private const INSERT = 'INSERT INTO node VALUES (?, ?)';

    /** @return iterable<string, array{string}> */
    public static function drivers(): iterable
    {
        return ConnectingTest::drivers();
    }

    /** Connected to server 0, while the registry names server 1 from then on. */
    private static function moved(Database $database, array $settings = []): Connection
    {
        $connection = $database->connect($database->source(0, 1), $settings);
        self::assertSame('server 0', $connection->fetchOne(self::NAME));

        return $connection;
    }

    /** @dataProvider drivers */
    public function testAReadThatFindsItsConnectionGoneIsAnsweredByTheNewServer(string $driver): void
    {
        $database = new Database($driver);
        $connection = self::moved($database);
        $database->cut(0);
        self::assertSame('server 1', $connection->fetchOne(self::NAME));
        self::assertSame(['server 1'], $connection->fetchFirstColumn('SELECT name FROM node WHERE id = ?', [1]));
    }

    /** @dataProvider drivers */
    public function testAPreparedReadIsPreparedAndBoundAgain(string $driver): void
    {
        $database = new Database($driver);
        $connection = self::moved($database);
        $statement = $connection->prepare('SELECT name FROM node WHERE id = ? AND name LIKE ?');
        $statement->bindValue(1, 1, ParameterType::INTEGER);
        $statement->bindValue(2, 'server%', ParameterType::STRING);
        self::assertSame('server 0', $statement->executeQuery()->fetchOne());
        $database->cut(0);
        self::assertSame('server 1', $statement->executeQuery()->fetchOne());
        self::assertSame('server 1', $statement->executeQuery()->fetchOne());
    }

    public function testAReadWhoseStreamWasReadIsNotRepeated(): void
    {
        $database = new Database('mysqli');
        $connection = self::moved($database);
        $statement = $connection->prepare('SELECT name FROM node WHERE name <> ?');
        $stream = fopen('php://memory', 'r+');
        fwrite($stream, 'x');
        rewind($stream);
        $statement->bindValue(1, $stream, ParameterType::LARGE_OBJECT);
        $database->cut(0);
        $this->expectException(DriverException::class);
        $statement->executeQuery();
    }

    /** @dataProvider drivers */
    public function testAWriteThatFindsItsConnectionGoneIsThrownAndNotRepeated(string $driver): void
    {
        $database = new Database($driver);
        $connection = self::moved($database);
        $database->cut(0);
        try {
            $connection->executeStatement('INSERT INTO node VALUES (2, \'x\')');
            self::fail('nobody knows whether it was done');
        } catch (DriverException) {
            self::assertSame([0, 0], [$database->count(0, 2), $database->count(1, 2)]);
        }
        self::assertSame('server 1', $connection->fetchOne(self::NAME), 'what follows is on the new server');
        self::assertSame(1, $connection->executeStatement(self::INSERT, [2, 'x']));
        self::assertSame([0, 1], [$database->count(0, 2), $database->count(1, 2)]);
    }

    /** @dataProvider drivers */
    public function testAWriteAfterAnIdleTimeFindsOutFirstAndIsDoneOnce(string $driver): void
    {
        $database = new Database($driver);
        // What is cached still names the old server when the idle connection looks, as in a crash.
        $source = $database->source(0);
        $source->fresh = [FakeSource::record($database->ports[1])];
        $connection = $database->connect($source, ['idle' => 0.0]);
        // Connects, and asks for nothing.
        $connection->quote('x');
        $database->cut(0);
        self::assertSame(1, $connection->executeStatement(self::INSERT, [2, 'x']));
        self::assertSame([0, 1], [$database->count(0, 2), $database->count(1, 2)]);
    }

    /** @dataProvider drivers */
    public function testAServerThatBecameReadOnlyIsLeftForThePrimary(string $driver): void
    {
        $database = new Database($driver);
        $database->isMysql() || $database->readOnly(0, true);
        $connection = self::moved($database);
        $database->readOnly(0, true);
        self::assertSame(1, $connection->executeStatement('INSERT INTO node VALUES (2, \'x\')'));
        self::assertSame(1, $connection->executeStatement(self::INSERT, [3, 'x']));
        self::assertSame('server 1', $connection->fetchOne(self::NAME));
        self::assertSame([1, 1, 0], [$database->count(1, 2), $database->count(1, 3), $database->count(0, 2)]);
    }

    /** @dataProvider drivers */
    public function testAPreparedWriteIsPreparedAgainOnThePrimary(string $driver): void
    {
        $database = new Database($driver);
        $database->isMysql() || $database->readOnly(0, true);
        $connection = self::moved($database);
        $statement = $connection->prepare(self::INSERT);
        $database->readOnly(0, true);
        foreach ([2, 3] as $id) {
            $statement->bindValue(1, $id, ParameterType::INTEGER);
            $statement->bindValue(2, 'x', ParameterType::STRING);
            self::assertSame(1, (int) $statement->executeStatement());
        }
        self::assertSame([1, 1], [$database->count(1, 2), $database->count(1, 3)]);
    }

    /** @dataProvider drivers */
    public function testAServerThatIsMadePrimaryWhereItStandsIsWaitedFor(string $driver): void
    {
        $database = new Database($driver);
        $database->readOnly(0, true);
        $source = $database->source(0);
        $connection = $database->connect($source, ['pause' => 0.05]);
        self::assertSame('server 0', $connection->fetchOne(self::NAME));
        try {
            $connection->executeStatement(self::INSERT, [2, 'x']);
            self::fail('it stays read-only');
        } catch (DriverException) {
            self::assertGreaterThan(1, count(array_filter($source->asked)), 'it was looked for more than once');
        }
        $database->readOnly(0, false);
        self::assertSame(1, $connection->executeStatement(self::INSERT, [2, 'x']));
    }

    /** @dataProvider drivers */
    public function testNothingIsRepeatedInATransactionAndTheNextOneIsOnTheNewServer(string $driver): void
    {
        $database = new Database($driver);
        $connection = self::moved($database);
        $connection->beginTransaction();
        $connection->executeStatement(self::INSERT, [2, 'x']);
        $database->cut(0);
        try {
            $connection->fetchOne(self::NAME);
            self::fail('half of a transaction is lost');
        } catch (DriverException) {
        }
        try {
            $connection->rollBack();
        } catch (\Throwable) {
            // There is nothing to roll back: some say so.
        }
        self::assertSame([0, 0], [$database->count(0, 2), $database->count(1, 2)]);
        $connection->close();
        $connection->beginTransaction();
        self::assertSame(1, $connection->executeStatement(self::INSERT, [2, 'x']));
        $connection->commit();
        self::assertSame([0, 1], [$database->count(0, 2), $database->count(1, 2)]);
    }

    /** @dataProvider drivers */
    public function testACommitThatIsLostIsThrownAndNotRepeatedAndAWriteAfterItIsOnTheNewServer(string $driver): void
    {
        $database = new Database($driver);
        $connection = self::moved($database);
        try {
            $connection->transactional(static function (Connection $connection) use ($database): void {
                $connection->executeStatement(self::INSERT, [2, 'x']);
                $database->cut(0);
            });
            $why = null;
        } catch (\Exception $why) {
        }
        self::assertNotNull($why, 'nobody knows whether it was done');
        self::assertGreaterThan(0, $database->failures(), 'and it is logged');
        self::assertFalse($connection->isTransactionActive());
        self::assertSame(1, $connection->executeStatement(self::INSERT, [3, 'x']));
        self::assertSame([0, 0, 1], [$database->count(0, 2), $database->count(1, 2), $database->count(1, 3)]);
    }

    public function testATransactionThatBeganInTheMiddleOfSeveralStatementsKeepsItsConnection(): void
    {
        $database = new Database('pdo_pgsql');
        $connection = self::moved($database);
        $connection->executeStatement('SELECT 1; BEGIN');
        $connection->executeStatement("INSERT INTO node VALUES (2, 'x')");
        $database->cut(0);
        $this->expectException(DriverException::class);
        $connection->fetchOne(self::NAME);
    }

    /** @return iterable<string, array{string, array}> */
    public static function withoutAutocommit(): iterable
    {
        yield 'an option of PDO' => ['pdo_mysql', [\PDO::ATTR_AUTOCOMMIT => false]];
        yield 'the first that PDO says' => ['pdo_mysql', [\PDO::MYSQL_ATTR_INIT_COMMAND => 'SET autocommit = 0']];
        yield 'the first that mysqli says' => ['mysqli', [\MYSQLI_INIT_COMMAND => 'SET autocommit=OFF']];
    }

    /** @dataProvider withoutAutocommit */
    public function testAConnectionThatIsAlwaysInATransactionIsNeverReplaced(string $driver, array $options): void
    {
        $database = new Database($driver);
        $connection = $database->connect($database->source(0, 1), [], ['driverOptions' => $options]);
        self::assertSame(1, $connection->executeStatement(self::INSERT, [2, 'x']));
        $database->cut(0);
        $this->expectException(DriverException::class);
        $connection->fetchOne(self::NAME);
    }

    /** @dataProvider drivers */
    public function testATransactionThatFindsItsConnectionGoneBeginsOnTheNewServer(string $driver): void
    {
        $database = new Database($driver);
        $connection = self::moved($database);
        $database->cut(0);
        $connection->transactional(static function (Connection $connection): void {
            $connection->executeStatement(self::INSERT, [2, 'x']);
        });
        self::assertSame([0, 1], [$database->count(0, 2), $database->count(1, 2)]);
    }

    /** @dataProvider drivers */
    public function testASessionWithSettingsOfItsOwnIsNotReplaced(string $driver): void
    {
        $database = new Database($driver);
        $connection = self::moved($database);
        $connection->executeStatement($database->isMysql() ? "SET time_zone = '+05:00'" : "SET TIME ZONE 'UTC'");
        $database->cut(0);
        $this->expectException(DriverException::class);
        $connection->fetchOne(self::NAME);
    }

    /** @dataProvider drivers */
    public function testSwitchedOffItThrowsAsEver(string $driver): void
    {
        $database = new Database($driver);
        $connection = self::moved($database, ['reconnect' => false]);
        $database->cut(0);
        $this->expectException(DriverException::class);
        $connection->fetchOne(self::NAME);
    }

    /** @dataProvider drivers */
    public function testTheIdleConnectionOfAWorkerGoesWhereTheRegistryPoints(string $driver): void
    {
        $database = new Database($driver);
        $connection = $database->connect($database->source(0, 1), ['idle' => 0.0]);
        $connection->quote('x');
        self::assertSame('server 1', $connection->fetchOne(self::NAME));
        self::assertSame(0, $database->failures());
    }

    /** @dataProvider drivers */
    public function testWhatDbalAsksOfAConnectionIsThere(string $driver): void
    {
        $database = new Database($driver);
        $connection = $database->connect($database->source(0), [], ['serverVersion' => null]);
        self::assertSame("'it''s'", str_replace("\\'", "''", $connection->quote("it's")));
        self::assertNotSame('', $connection->getDatabasePlatform()::class);
        $id = $database->isMysql() ? 'INT PRIMARY KEY AUTO_INCREMENT' : 'SERIAL PRIMARY KEY';
        $database->isMysql() || $database->admin(0, 'GRANT CREATE ON SCHEMA public TO app');
        $connection->executeStatement('DROP TABLE IF EXISTS counted');
        $connection->executeStatement("CREATE TABLE counted (id $id, name VARCHAR(9))");
        $connection->executeStatement("INSERT INTO counted (name) VALUES ('a')");
        self::assertSame(1, (int) $connection->lastInsertId());
        self::assertTrue($connection->createSchemaManager()->tablesExist(['counted']));
        $natives = ['mysqli' => \mysqli::class, 'pgsql' => \PgSql\Connection::class];
        self::assertInstanceOf($natives[$driver] ?? \PDO::class, $connection->getNativeConnection());
    }
}
