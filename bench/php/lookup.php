<?php
// How long a look-up takes in a request of php-fpm: the first of the request, and the median of those after it.
// The way is made ready before the clock starts, as an application's container does; it prints both in nanoseconds.

use Waypost\Discovery\AgentSocketSource;
use Waypost\Discovery\ApcuSource;
use Waypost\Discovery\PhpFileSource;

spl_autoload_register(fn ($class) => require getenv('WAYPOST_PHP') . strtr(substr($class, 7), '\\', '/') . '.php');
// Loaded before the clock starts: an autoloader's time is not what is measured.
foreach (glob(getenv('WAYPOST_PHP') . '/Discovery/*.php') as $file) {
    $name = 'Waypost\\Discovery\\' . basename($file, '.php');
    class_exists($name) || interface_exists($name);
}

$service = 'db';
$ways = [
    'constant' => function () use ($service) {
        $file = getenv('SERVICES');
        return fn () => (include $file)['services'][$service][0]['port'];
    },
    'bundle' => function () use ($service) {
        $source = new PhpFileSource(getenv('SERVICES'));
        return fn () => $source->records($service)[0]['port'];
    },
    'object' => function () use ($service) {
        $source = new PhpFileSource(getenv('SERVICES'));
        return fn () => $source->get($service)->first()->port;
    },
    'json' => function () use ($service) {
        $file = substr(getenv('SERVICES'), 0, -4) . '.json';
        return fn () => json_decode(file_get_contents($file), true)['services'][$service][0]['port'];
    },
    'apcu' => function () use ($service) {
        apcu_add($service, (include getenv('SERVICES'))['services'][$service], 60);
        return fn () => apcu_fetch($service)[0]['port'];
    },
    'socket' => function () use ($service) {
        $source = new AgentSocketSource(getenv('SOCKET'));
        return fn () => $source->get($service)->first()->port;
    },
    'redis' => function () use ($service) {
        $redis = new Redis();
        $redis->pconnect(getenv('REDIS_SOCKET'));
        return fn () => json_decode($redis->get($service), true)['port'];
    },
    'etcd' => function () {
        $curl = curl_init(getenv('ETCD') . '/v3/kv/range');
        $key = base64_encode('/services/db/1');
        curl_setopt_array($curl, [CURLOPT_POSTFIELDS => "{\"key\":\"$key\"}", CURLOPT_RETURNTRANSFER => true]);
        return fn () => json_decode(base64_decode(json_decode(curl_exec($curl), true)['kvs'][0]['value']), true)['port'];
    },
];

$look = $ways[$_GET['way']]();
$clock = function () use ($look) {
    $started = hrtime(true);
    $found = $look();
    $took = hrtime(true) - $started;
    if ($found != 3306) {
        throw new UnexpectedValueException('the look-up finds ' . var_export($found, true));
    }
    return $took;
};
$first = $clock();
$again = array_map(fn () => $clock(), range(1, (int) $_GET['again']));
sort($again);
echo $first, ' ', $again[intdiv(count($again), 2)];
