<?php

declare(strict_types=1);

namespace Waypost\Tests\Servers;

use PHPUnit\Framework\TestCase;
use Symfony\Component\HttpFoundation\Session\Storage\Handler\MemcachedSessionHandler;
use Waypost\Cache\CacheFactory;
use Waypost\Discovery\NoInstance;
use Waypost\Discovery\Source;
use Waypost\Tests\FakeSource;

/**
 * Pools on three real memcached (WAYPOST_TEST_MEMCACHED), and a Redis (WAYPOST_TEST_REDIS); both hold ports.
 */
final class CachesTest extends TestCase
{
    private const KEYS = 20_000;

    /** @return list<int> */
    private static function ports(string $name): array
    {
        return array_map('intval', explode(',', Database::variable($name)));
    }

    private static function pool(int ...$ports): \Memcached
    {
        return (new CacheFactory(self::source(...$ports)))->memcached();
    }

    private static function source(int ...$ports): Source
    {
        return new FakeSource(array_map([FakeSource::class, 'record'], $ports));
    }

    /** @return list<int> the port of each key */
    private static function ring(\Memcached $pool): array
    {
        $port = static fn (int $key): int => $pool->getServerByKey("key $key")['port'];

        return array_map($port, range(1, self::KEYS));
    }

    private static function moved(array $before, array $after): float
    {
        return count(array_diff_assoc($before, $after)) / self::KEYS;
    }

    public function testT12TheOrderOfTheListMovesNoKey(): void
    {
        [$a, $b, $c] = self::ports('MEMCACHED');
        [$one, $other] = [self::pool($a, $b, $c), self::pool($c, $a, $b)];
        self::assertSame(self::ring($one), self::ring($other));
        // Where two points of the ring fall together, the order of the list decides.
        self::assertSame($one->getServerList(), $other->getServerList());
    }

    public function testT12AThirdServerMovesAThirdOfTheKeysAndOnlyToItself(): void
    {
        [$a, $b, $c] = self::ports('MEMCACHED');
        [$before, $after] = [self::ring(self::pool($a, $b)), self::ring(self::pool($a, $b, $c))];
        self::assertLessThan(0.45, self::moved($before, $after));
        self::assertGreaterThan(0.2, self::moved($before, $after));
        self::assertSame([$c], array_values(array_unique(array_diff_assoc($after, $before))));
        // And when it leaves, what it had goes back to where it was.
        self::assertSame($before, self::ring(self::pool($b, $a)));
    }

    public function testAServerOfTwiceTheWeightHasTwiceTheKeys(): void
    {
        $record = static fn (int $port, int $weight): array => FakeSource::record($port, ['weight' => $weight]);
        $records = [$record(1, 2), $record(2, 1), $record(3, 0)];
        $shares = array_count_values(self::ring((new CacheFactory(new FakeSource($records)))->memcached()));
        self::assertSame([1, 2], self::sorted(array_keys($shares)));
        self::assertEqualsWithDelta(2, $shares[1] / $shares[2], 0.5);
    }

    private static function sorted(array $values): array
    {
        sort($values);

        return $values;
    }

    public function testAServerThatIsAnnouncedTwiceHasOneShare(): void
    {
        $twice = [FakeSource::record(1), FakeSource::record(2), FakeSource::record(1, ['id' => 'x', 'weight' => 3])];
        $pool = (new CacheFactory(new FakeSource($twice)))->memcached();
        self::assertCount(2, $pool->getServerList());
        // As waypost-discover has it: of several weights the least.
        self::assertSame(self::ring(self::pool(1, 2)), self::ring($pool));
    }

    public function testWhatOnePoolWroteAnotherReads(): void
    {
        [$a, $b, $c] = self::ports('MEMCACHED');
        [$writer, $reader] = [self::pool($a, $b, $c), self::pool($c, $b, $a)];
        foreach (range(1, 200) as $key) {
            self::assertTrue($writer->set("k$key", $key));
        }
        self::assertSame(range(1, 200), array_map(static fn (int $key) => $reader->get("k$key"), range(1, 200)));
    }

    public function testADeadServerOfTheRingIsLeftOutAfterItsFirstFailure(): void
    {
        $pool = self::pool(self::ports('MEMCACHED')[0], 9);
        $worked = count(array_filter(range(1, 200), static fn (int $key): bool => $pool->set("d$key", 1)));
        self::assertGreaterThanOrEqual(197, $worked);
    }

    public function testAPoolNeverGrows(): void
    {
        $factory = new CacheFactory(self::source(...self::ports('MEMCACHED')));
        $factory->memcached();
        self::assertCount(3, $factory->memcached()->getServerList());
        self::assertFalse($factory->memcached()->isPersistent());
    }

    public function testAnEmptyPoolIsSaid(): void
    {
        $this->expectException(NoInstance::class);
        self::pool();
    }

    public function testSessionsAreSharedByProcessesThatKnowTheSameServers(): void
    {
        [$a, $b] = self::ports('MEMCACHED');
        $id = bin2hex(random_bytes(16));
        $writer = new MemcachedSessionHandler(self::pool($a, $b));
        self::assertTrue($writer->write($id, 'n|i:1;'));
        self::assertSame('n|i:1;', (new MemcachedSessionHandler(self::pool($b, $a)))->read($id));
    }

    public function testRedisIsTheFreshOneWhenTheFirstDoesNotAnswer(): void
    {
        $source = FakeSource::ports(9, self::ports('REDIS')[0]);
        $redis = (new CacheFactory($source))->redis();
        self::assertTrue($redis->set('k', 'v'));
        self::assertSame('v', $redis->get('k'));
        self::assertSame([false, true], $source->asked);
    }

    public function testRedisThatNeverSpeaksIsGivenUp(): void
    {
        $listener = stream_socket_server('tcp://127.0.0.1:0');
        $port = (int) substr(strrchr(stream_socket_get_name($listener, false), ':'), 1);
        $begin = microtime(true);
        $redis = (new CacheFactory(FakeSource::ports($port)))->redis();
        try {
            $redis->get('k');
            self::fail('it never speaks');
        } catch (\RedisException) {
            self::assertLessThan(5, microtime(true) - $begin);
        }
    }

    public function testThePrimaryRedisIsTakenWithItsDatabase(): void
    {
        $records = [
            FakeSource::record(9, ['role' => 'replica']),
            FakeSource::record(self::ports('REDIS')[0], ['role' => 'primary', 'meta' => ['database' => '3']]),
        ];
        self::assertSame(3, (new CacheFactory(new FakeSource($records)))->redis()->getDbNum());
    }

    public function testADatabaseThatRedisDoesNotHaveIsSaidAndNotReplacedByTheFirst(): void
    {
        foreach (['99', 'shop', '-1'] as $database) {
            $meta = ['meta' => ['database' => $database]];
            $source = new FakeSource([FakeSource::record(self::ports('REDIS')[0], $meta)]);
            try {
                (new CacheFactory($source))->redis();
                self::fail('there are sixteen');
            } catch (\RedisException $why) {
                self::assertStringContainsString("has no database \"$database\"", $why->getMessage());
            }
        }
    }

    public function testARedisThatWantsAUserGetsTheRegistrys(): void
    {
        [$port] = self::ports('REDIS');
        $admin = (new CacheFactory(self::source($port)))->redis();
        $admin->rawCommand('ACL', 'SETUSER', 'shop', 'on', '>secret', '~*', '+@all');
        $meta = ['meta' => ['password' => 'secret', 'user' => 'shop']];
        $redis = (new CacheFactory(new FakeSource([FakeSource::record($port, $meta)])))->redis();
        self::assertSame('shop', $redis->rawCommand('ACL', 'WHOAMI'));
    }

    public function testADeadRedisIsTriedThreeTimes(): void
    {
        $source = FakeSource::ports(9);
        try {
            (new CacheFactory($source))->redis();
            self::fail('nobody listens there');
        } catch (\RedisException) {
            self::assertSame([false, true, true], $source->asked);
        }
    }
}
