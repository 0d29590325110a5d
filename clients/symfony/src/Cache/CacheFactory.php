<?php

declare(strict_types=1);

namespace Waypost\Cache;

use Waypost\Discovery\Instance;
use Waypost\Discovery\NoInstance;
use Waypost\Discovery\Source;

/**
 * Clients for caches that are discovered: made with what is known at the moment of making.
 *
 * Nothing is connected for memcached, its library does that by itself; Redis is connected at once.
 */
final class CacheFactory
{
    /**
     * How often Redis is tried, and the pause before the second attempt at the same address, in microseconds.
     */
    private const ATTEMPTS = 3;
    private const PAUSE = 50_000;

    /**
     * @param int   $memcachedTimeout how long memcached may take to accept a connection, in milliseconds
     * @param float $redisTimeout     how long Redis may take for that and for an answer, in seconds
     */
    public function __construct(
        private readonly Source $source,
        private readonly ?string $zone = null,
        private readonly int $memcachedTimeout = 100,
        private readonly float $redisTimeout = 0.2,
    ) {
    }

    /**
     * A pool over which keys are spread by ketama's ring: a server that comes or goes moves its share of the
     * keys.
     *
     * Whoever knows the same servers has the same ring, in any order. There is no persistent id, since such a
     * pool would keep servers that are gone.
     *
     * @param array<int, mixed> $options more of \Memcached's
     *
     * @throws NoInstance when there is none: a pool without servers would fail at every key
     */
    public function memcached(string $service = 'memcached', array $options = []): \Memcached
    {
        $instances = $this->source->get($service)->candidates();
        if ($instances === []) {
            throw NoInstance::of($service, null, 0);
        }
        $servers = self::servers($instances);
        $pool = new \Memcached();
        $pool->setOptions($options + [
            \Memcached::OPT_LIBKETAMA_COMPATIBLE => true,
            \Memcached::OPT_CONNECT_TIMEOUT => $this->memcachedTimeout,
            // The first failure takes a server out of the ring: its keys go to the others.
            \Memcached::OPT_SERVER_FAILURE_LIMIT => 1,
            \Memcached::OPT_REMOVE_FAILED_SERVERS => true,
            \Memcached::OPT_RETRY_TIMEOUT => 1,
        ]);
        $pool->addServers($servers);

        return $pool;
    }

    /**
     * A connection to Redis, which becomes one to another server if the first does not answer.
     *
     * `user`, `password` and `database` are taken from the registry where it has them.
     *
     * @throws \RedisException  the last failure
     * @throws NoInstance
     */
    public function redis(string $service = 'redis', ?string $role = 'primary'): \Redis
    {
        $failed = [];
        for ($attempt = 1; ; ++$attempt) {
            $known = $this->source->get($service, $attempt > 1);
            $found = $known->pick($role, $this->zone, array_keys($failed));
            if (isset($failed[$found->address])) {
                usleep(self::PAUSE * 2 ** ($attempt - 2));
            }
            try {
                return $this->connect($found);
            } catch (\RedisException $why) {
                if ($attempt === self::ATTEMPTS) {
                    throw $why;
                }
                $failed[$found->address] = true;
            }
        }
    }

    /**
     * @param list<Instance> $instances
     *
     * @return list<array{string, int, int}> in one order, and each address once, or its share
     *     would be doubled
     */
    private static function servers(array $instances): array
    {
        $servers = array_map(static fn (Instance $i): array => [$i->host, $i->port, $i->weight], $instances);
        rsort($servers);
        $byAddress = array_combine(array_map(static fn (array $s): string => "$s[0]:$s[1]", $servers), $servers);

        return array_reverse(array_values($byAddress));
    }

    private function connect(Instance $found): \Redis
    {
        $redis = new \Redis();
        $redis->connect($found->host, $found->port, $this->redisTimeout, null, 0, $this->redisTimeout);
        $user = $found->meta['user'] ?? '';
        if (isset($found->meta['password'])) {
            $redis->auth([...($user === '' ? [] : [$user]), $found->meta['password']]);
        }
        $database = (string) ($found->meta['database'] ?? '');
        // Refused, it would be the first one that everything is written to.
        if ($database !== '' && !(ctype_digit($database) && $redis->select((int) $database))) {
            throw new \RedisException(sprintf(
                'Redis at %s has no database "%s": correct `database` in the registry',
                $found->address,
                $database,
            ));
        }

        return $redis;
    }
}
