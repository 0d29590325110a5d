<?php

declare(strict_types=1);

namespace Waypost\Tests\App;

use Doctrine\DBAL\Configuration;
use Doctrine\DBAL\Connection;
use Doctrine\DBAL\DriverManager;
use Symfony\Bundle\FrameworkBundle\FrameworkBundle;
use Symfony\Bundle\FrameworkBundle\Kernel\MicroKernelTrait;
use Symfony\Component\DependencyInjection\ContainerBuilder;
use Symfony\Component\DependencyInjection\Definition;
use Symfony\Component\DependencyInjection\Reference;
use Symfony\Component\ExpressionLanguage\Expression;
use Symfony\Component\HttpFoundation\JsonResponse;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;
use Symfony\Component\HttpKernel\Kernel as BaseKernel;
use Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator;
use Waypost\Discovery\Source;
use Waypost\Symfony\WaypostBundle;

/** An application with the bundle and one database; README.md beside it lists its routes and variables. */
final class Kernel extends BaseKernel
{
    use MicroKernelTrait;

    public function registerBundles(): iterable
    {
        yield new FrameworkBundle();
        yield new WaypostBundle();
    }

    public function getProjectDir(): string
    {
        return dirname(__DIR__);
    }

    public function getCacheDir(): string
    {
        return self::variable('APP_CACHE_DIR');
    }

    public function getLogDir(): string
    {
        return $this->getCacheDir();
    }

    public static function variable(string $name, ?string $default = null): string
    {
        $value = getenv($name);

        return $value !== false ? $value : $default ?? throw new \RuntimeException("the variable $name is not set");
    }

    private function configureContainer(ContainerBuilder $container): void
    {
        $container->loadFromExtension('framework', [
            'secret' => 'of a test',
            'http_method_override' => false,
            'session' => [
                'handler_id' => 'waypost.session_handler',
                'storage_factory_id' => 'session.storage.factory.native',
            ],
            'router' => ['utf8' => true],
        ]);
        $container->loadFromExtension('waypost', [
            'file' => self::variable('WAYPOST_SERVICES'),
            'socket' => self::variable('WAYPOST_SOCKET', '') ?: null,
            'doctrine' => ['default' => [
                'service' => 'db',
                'attempts' => (int) self::variable('APP_ATTEMPTS', '10'),
                'budget' => (float) self::variable('APP_BUDGET', '5'),
                'read_timeout' => 5,
            ]],
        ]);
        // What DoctrineBundle does for the tag, done by hand: Debian does not have it.
        $configuration = new Definition(Configuration::class);
        $configuration->addMethodCall('setMiddlewares', [[new Reference('waypost.doctrine.default')]]);
        $database = new Definition(Connection::class, [self::parameters(), $configuration]);
        $container->setDefinition('app.database', $database->setFactory([DriverManager::class, 'getConnection']))
            ->setPublic(true);
        $container->setDefinition('app.pool', new Definition(\Memcached::class))
            ->setFactory([self::class, 'same'])->setPublic(true)
            ->addArgument(new Expression("service('waypost.cache_factory').memcached()"));
    }

    /** Where the database is, and who one is there, is the registry's to say. */
    public static function parameters(): array
    {
        $driver = self::variable('APP_DRIVER', 'pdo_mysql');
        $version = str_contains($driver, 'pgsql') ? '15.0' : '10.11.2-MariaDB';

        return ['driver' => $driver, 'serverVersion' => $version];
    }

    public static function same(\Memcached $pool): \Memcached
    {
        return $pool;
    }

    protected function configureRoutes(RoutingConfigurator $routes): void
    {
        foreach ([
            'ping' => '/ping', 'database' => '/db', 'write' => '/db/write', 'without' => '/db/without',
            'cache' => '/cache', 'ring' => '/ring', 'session' => '/session', 'service' => '/services/{name}',
            'lookup' => '/lookup', 'opcache' => '/opcache',
        ] as $name => $path) {
            $routes->add($name, $path)->controller([$this, $name])->requirements(['name' => '.+']);
        }
    }

    public function ping(): Response
    {
        return new Response('pong');
    }

    public function database(): Response
    {
        return $this->answer(fn (): string => Without::port($this->container->get('app.database')));
    }

    public function write(Request $request): Response
    {
        return $this->answer(function () use ($request): string {
            $database = $this->container->get('app.database');
            $database->executeStatement('INSERT INTO written (id) VALUES (?)', [$request->query->get('id')]);

            return Without::port($database);
        });
    }

    public function without(): Response
    {
        return $this->answer(static fn (): string => Without::port(Without::connection()));
    }

    public function cache(Request $request): Response
    {
        $pool = $this->container->get('app.pool');
        [$key, $value] = [$request->query->get('key'), $request->query->get('value')];

        return $this->answer(static fn (): string => $value === null ? (string) $pool->get($key)
            : ($pool->set($key, $value) ? 'stored' : throw new \RuntimeException($pool->getResultMessage())));
    }

    public function ring(Request $request): Response
    {
        $pool = $this->container->get('app.pool');
        $where = static fn (int $key): string => $pool->getServerByKey("key-$key")['host']
            .':'.$pool->getServerByKey("key-$key")['port'];

        return new JsonResponse(array_map($where, range(0, $request->query->getInt('keys', 1000) - 1)));
    }

    public function session(Request $request): Response
    {
        $session = $request->getSession();
        $session->set('n', 1 + $session->get('n', 0));

        return new Response((string) $session->get('n'));
    }

    public function service(string $name, Request $request): Response
    {
        $source = $this->container->get('waypost.source');
        assert($source instanceof Source);

        return $this->answer(static fn (): string => json_encode([
            'addresses' => $source->get($name, $request->query->getBoolean('fresh'))->addresses(),
            'version' => $source->version(),
            'age_seconds' => $source->age(),
        ], JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES));
    }

    public function lookup(Request $request): Response
    {
        $lookups = new Lookups($this->container->get('waypost.source'), self::variable('WAYPOST_SERVICES'));

        return new Response($lookups->measure($request->query->get('way', 'source'), $request->query->getInt('n')));
    }

    public function opcache(): Response
    {
        return new JsonResponse(opcache_get_status(false));
    }

    /** @param \Closure(): string $work */
    private function answer(\Closure $work): Response
    {
        try {
            return new Response($work());
        } catch (\Throwable $why) {
            return new Response($why::class.': '.strtok($why->getMessage(), "\n"), 503);
        }
    }
}
