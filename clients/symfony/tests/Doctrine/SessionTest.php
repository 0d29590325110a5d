<?php

declare(strict_types=1);

namespace Waypost\Tests\Doctrine;

use Doctrine\DBAL\Driver\Connection;
use PHPUnit\Framework\TestCase;
use Waypost\Discovery\Source;
use Waypost\Doctrine\Dialer;
use Waypost\Doctrine\NotFound;
use Waypost\Doctrine\Repeat;
use Waypost\Doctrine\Session;
use Waypost\Doctrine\Settings;
use Waypost\Tests\FakeSource;

/**
 * Which statements are repeated, and on which connection: servers 1 and 2, of which the registry names one.
 */
final class SessionTest extends TestCase
{
    /** @var array<int, Connection> */
    private array $servers;

    /** @var list<int> the servers that were connected to */
    private array $connected = [];

    protected function setUp(): void
    {
        $this->servers = [1 => $this->createMock(Connection::class), 2 => $this->createMock(Connection::class)];
    }

    private function session(Source $source, array $settings = []): Session
    {
        $settings = new Settings('db', ...$settings + ['pause' => 0.001, 'idle' => 3600.0]);
        $open = function (array $params): Connection {
            $this->connected[] = $params['port'];

            return $this->servers[$params['port']];
        };
        $dialer = new Dialer($source, $settings, $open, [], static fn () => null);
        [$connection, $target] = $dialer->dial($dialer->begin());

        return new Session($dialer, $connection, $target, $settings, static fn () => null);
    }

    /** Something that server 1 fails with. */
    private function failingOn1(\Throwable $error, int &$times): \Closure
    {
        return function (Connection $connection) use ($error, &$times): int {
            ++$times;

            return $connection === $this->servers[1] ? throw $error : 2;
        };
    }

    /** A statement of that kind. */
    private static function repeat(bool $harmless, bool $atomic): Repeat
    {
        return match ([$harmless, $atomic]) {
            [true, true] => Repeat::statement('SELECT name FROM node'),
            [true, false] => Repeat::statement('SHOW TABLES'),
            [false, true] => Repeat::statement('DELETE FROM node'),
            [false, false] => Repeat::statement('CALL pay(1)'),
        };
    }

    private static function lost(): \Throwable
    {
        return FakeDriver::error(2006, 'MySQL server has gone away');
    }

    private static function readOnly(): \Throwable
    {
        return FakeDriver::error(1290, 'running with the --read-only option so it cannot execute this statement');
    }

    /**
     * @return iterable<string, array{\Throwable, bool, bool, bool}> error, twice, atomic, whether it is
     *     repeated
     */
    public static function failures(): iterable
    {
        yield 'a read that was lost' => [self::lost(), true, false, true];
        yield 'a write that was lost' => [self::lost(), false, true, false];
        yield 'a write that was refused' => [self::readOnly(), false, true, true];
        yield 'a procedure that was refused' => [self::readOnly(), false, false, false];
        $ended = FakeDriver::error(7, 'terminating connection', '57P01');
        yield 'the lost read of PostgreSQL' => [$ended, true, true, true];
        $closed = FakeDriver::error(7, 'SQLSTATE[HY000]: General error: 7 no connection to the server');
        yield 'what libpq says of it' => [$closed, true, true, true];
        $readOnly = FakeDriver::error(7, 'cannot execute INSERT in a read-only transaction', '25006');
        yield 'a write that PostgreSQL refused' => [$readOnly, false, true, true];
        yield 'another option that prevents it' => [
            FakeDriver::error(1290, 'running with the --secure-file-priv option'), true, true, false,
        ];
        $wrong = FakeDriver::error(1064, 'You have an error in your SQL syntax');
        yield 'a wrong statement' => [$wrong, true, true, false];
        yield 'a duplicate key' => [FakeDriver::error(7, 'duplicate key', '23505'), true, true, false];
        yield 'a deadlock' => [FakeDriver::error(1213, 'Deadlock found'), true, true, false];
    }

    /** @dataProvider failures */
    public function testOnlyWhatCannotHaveBeenDoneIsRepeated(
        \Throwable $error,
        bool $twice,
        bool $atomic,
        bool $repeated,
    ): void {
        $session = $this->session(FakeSource::ports(1, 2));
        $times = 0;
        try {
            self::assertSame(2, $session->run(self::repeat($twice, $atomic), $this->failingOn1($error, $times)));
            self::assertTrue($repeated, 'it was repeated');
        } catch (\Throwable $why) {
            self::assertSame($error, $why);
        }
        self::assertSame($repeated ? [2, [1, 2]] : [1, [1]], [$times, $this->connected]);
    }

    /** @dataProvider failures */
    public function testNothingIsRepeatedInATransaction(\Throwable $error): void
    {
        $session = $this->session(FakeSource::ports(1, 2));
        $session->begin(static fn () => null);
        $times = 0;
        try {
            $session->run(Repeat::always(), $this->failingOn1($error, $times));
            self::fail('it is thrown');
        } catch (\Throwable $why) {
            self::assertSame($error, $why);
        }
        self::assertSame([1, [1]], [$times, $this->connected]);
    }

    public function testAfterALossInATransactionItsEndIsNotRepeatedAndWhatFollowsIsOnANewConnection(): void
    {
        $session = $this->session(FakeSource::ports(1, 2));
        $session->begin(static fn () => null);
        $times = 0;
        foreach (['run', 'end'] as $what) {
            try {
                $do = $this->failingOn1(self::lost(), $times);
                $what === 'run' ? $session->run(Repeat::always(), $do) : $session->end($do);
                self::fail('it is thrown');
            } catch (\Throwable) {
                self::assertSame([1], $this->connected);
            }
        }
        self::assertSame(2, $times);
        $session->run(Repeat::never(), fn (Connection $c) => self::assertSame($this->servers[2], $c));
    }

    public function testTheBeginOfATransactionIsRepeated(): void
    {
        $session = $this->session(FakeSource::ports(1, 2));
        $times = 0;
        self::assertSame(2, $session->begin($this->failingOn1(self::lost(), $times)));
        self::assertSame([1, 2], $this->connected);
    }

    public function testWhatLivesInTheSessionKeepsItsConnection(): void
    {
        foreach (['note', 'bind'] as $what) {
            $this->connected = [];
            $session = $this->session(FakeSource::ports(1, 2));
            $what === 'note' ? $session->note('SET time_zone = "+00:00"') : $session->bind();
            foreach ([self::lost(), self::readOnly()] as $error) {
                try {
                    $times = 0;
                    $session->run(Repeat::always(), $this->failingOn1($error, $times));
                    self::fail('it is thrown');
                } catch (\Throwable $why) {
                    self::assertSame($error, $why);
                }
            }
            self::assertSame([1], $this->connected);
        }
    }

    public function testSavepointsGoWithTheirTransaction(): void
    {
        $session = $this->session(FakeSource::ports(1, 2));
        $session->begin(static fn () => null);
        $session->note('SAVEPOINT DOCTRINE_2');
        $session->note('RELEASE SAVEPOINT DOCTRINE_2');
        $session->end(static fn () => null);
        $times = 0;
        self::assertSame(2, $session->run(Repeat::always(), $this->failingOn1(self::lost(), $times)));
    }

    public function testALostWriteIsNotRepeatedAndTheNextStatementIsOnANewConnection(): void
    {
        $session = $this->session(FakeSource::ports(1, 2));
        $times = 0;
        try {
            $session->run(Repeat::statement('DELETE FROM t'), $this->failingOn1(self::lost(), $times));
            self::fail('nobody knows whether it was done');
        } catch (\Throwable) {
            $do = $this->failingOn1(self::lost(), $times);
            self::assertSame(2, $session->run(Repeat::statement('DELETE FROM t'), $do));
        }
        self::assertSame(2, $times);
    }

    public function testAfterNobodyWasKnownEvenAWriteIsOnANewConnection(): void
    {
        $session = $this->session(new FakeSource([FakeSource::record(1)], null, [FakeSource::record(2)]));
        $times = 0;
        try {
            $session->run(Repeat::statement('SELECT 1'), $this->failingOn1(self::lost(), $times));
            self::fail('nobody knows the service');
        } catch (NotFound) {
        }
        $do = $this->failingOn1(self::lost(), $times);
        self::assertSame(2, $session->run(Repeat::statement('DELETE FROM t'), $do));
    }

    public function testWhatAsksForWhatTheSessionDidStaysInItHoweverIdleThatWas(): void
    {
        $this->servers[1]->expects(self::never())->method('query');
        $session = $this->session(FakeSource::ports(1, 2), ['idle' => 0.0]);
        $is1 = fn (Connection $c) => self::assertSame($this->servers[1], $c);
        $session->run(Repeat::preparing('SELECT LAST_INSERT_ID() + ?'), $is1);
        $session->run(Repeat::statement('SELECT LAST_INSERT_ID()'), $is1);
        $times = 0;
        $this->expectExceptionMessage('gone away');
        $session->run(Repeat::preparing('SHOW WARNINGS'), $this->failingOn1(self::lost(), $times));
    }

    public function testAConnectionThatDiedWhileItWasIdleIsFoundOutBeforeAWrite(): void
    {
        $this->servers[1]->expects(self::once())->method('query')->willThrowException(self::lost());
        $session = $this->session(FakeSource::ports(1, 1, 2), ['idle' => 0.0]);
        $times = 0;
        $do = $this->failingOn1(self::lost(), $times);
        self::assertSame(2, $session->run(Repeat::statement('DELETE FROM t'), $do));
        self::assertSame(1, $times, 'it was sent once');
    }

    public function testAConnectionThatWasJustUsedIsNotLookedAt(): void
    {
        $this->servers[1]->expects(self::never())->method('query');
        $source = FakeSource::ports(1, 2);
        $this->session($source)->run(Repeat::statement('DELETE FROM t'), static fn () => null);
        self::assertSame([false], $source->asked);
    }

    public function testAnIdleConnectionFollowsTheRegistry(): void
    {
        $session = $this->session(FakeSource::ports(1, 2), ['idle' => 0.0]);
        $is2 = fn (Connection $c) => self::assertSame($this->servers[2], $c);
        $session->run(Repeat::statement('DELETE FROM t'), $is2);
        self::assertSame([1, 2], $this->connected);
    }

    public function testAConnectionThatAFreshAnswerLedToDoesNotGoBackByAnOlderOne(): void
    {
        $source = FakeSource::ports(1);
        $source->fresh = [FakeSource::record(2)];
        $session = $this->session($source, ['idle' => 0.0]);
        $times = 0;
        self::assertSame(2, $session->run(Repeat::always(), $this->failingOn1(self::lost(), $times)));
        // The file, say, still names the old server.
        self::assertSame(2, $session->run(Repeat::always(), $this->failingOn1(self::lost(), $times)));
        self::assertSame([[1, 2], 3], [$this->connected, $times]);
    }

    public function testAnIdleConnectionStaysWhereItIsWhenTheRegistrySaysNothing(): void
    {
        foreach ([null, []] as $nothing) {
            $source = new FakeSource([FakeSource::record(1)], $nothing);
            $session = $this->session($source, ['idle' => 0.0]);
            $session->run(Repeat::always(), fn (Connection $c) => self::assertSame($this->servers[1], $c));
        }
    }

    public function testAServerThatStaysReadOnlyIsGivenUp(): void
    {
        $session = $this->session(FakeSource::ports(1));
        $times = 0;
        try {
            $session->run(Repeat::statement('DELETE FROM t'), $this->failingOn1(self::readOnly(), $times));
            self::fail('there is no other server');
        } catch (\Throwable $why) {
            self::assertStringContainsString('--read-only', $why->getMessage());
        }
        self::assertSame(6, $times, 'once, and once after each of five attempts');
    }

    public function testAReplicaMayBeReadOnly(): void
    {
        $session = $this->session(FakeSource::ports(1, 2), ['role' => 'replica']);
        $times = 0;
        try {
            $session->run(Repeat::statement('DELETE FROM t'), $this->failingOn1(self::readOnly(), $times));
            self::fail('it is the application\'s mistake');
        } catch (\Throwable) {
            self::assertSame(1, $times);
        }
    }
}
