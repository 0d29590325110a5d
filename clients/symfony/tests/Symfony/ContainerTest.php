<?php

declare(strict_types=1);

namespace Waypost\Tests\Symfony;

use PHPUnit\Framework\TestCase;
use Symfony\Component\DependencyInjection\Container;
use Symfony\Component\DependencyInjection\ContainerBuilder;
use Symfony\Component\DependencyInjection\Definition;
use Symfony\Component\DependencyInjection\Dumper\PhpDumper;
use Symfony\Component\DependencyInjection\Reference;
use Symfony\Component\Config\Definition\Exception\InvalidConfigurationException;
use Symfony\Component\ExpressionLanguage\Expression;
use Symfony\Component\HttpFoundation\Session\Storage\Handler\MemcachedSessionHandler;
use Waypost\Discovery\ApcuSource;
use Waypost\Discovery\ChainSource;
use Waypost\Discovery\JsonFileSource;
use Waypost\Discovery\Service;
use Waypost\Discovery\Source;
use Waypost\Doctrine\DiscoveryMiddleware;
use Waypost\Doctrine\Settings;
use Waypost\Symfony\WaypostBundle;
use Waypost\Tests\FakeSource;
use Waypost\Tests\Scratch;

/** The container as an application gets it: compiled, written as PHP, and loaded. */
final class ContainerTest extends TestCase
{
    private Scratch $scratch;

    private string $file;

    protected function setUp(): void
    {
        $this->scratch = new Scratch();
        $meta = ['user' => 'app', 'password' => 's:1', 'dbname' => 'shop'];
        $db = FakeSource::record(3306, ['role' => 'primary', 'meta' => $meta]);
        $replica = FakeSource::record(3307, ['role' => 'replica']);
        $this->file = $this->scratch->services([
            'db' => [$db, $replica],
            'my-db' => [$db],
            'memcached' => [FakeSource::record(11211), FakeSource::record(11212)],
        ]);
    }

    private function builder(array $config = []): ContainerBuilder
    {
        $builder = new ContainerBuilder();
        $bundle = new WaypostBundle();
        $bundle->build($builder);
        $builder->registerExtension($bundle->getContainerExtension());
        $builder->loadFromExtension('waypost', $config + ['file' => $this->file, 'socket' => null]);

        return $builder;
    }

    private function load(ContainerBuilder $builder): Container
    {
        $builder->compile();
        $class = 'Compiled'.bin2hex(random_bytes(8));
        eval('?>'.(new PhpDumper($builder))->dump(['class' => $class]));

        return new $class();
    }

    private static function addPublic(ContainerBuilder $builder, string $id, mixed ...$arguments): void
    {
        $builder->setDefinition($id, new Definition(\ArrayObject::class, [$arguments]))->setPublic(true);
    }

    public function testT14TheMiddlewareIsTaggedForTheNamedConnection(): void
    {
        $builder = $this->builder(['zone' => 'b', 'doctrine' => [
            'default' => ['service' => 'db', 'attempts' => 7, 'budget' => 3.5, 'pause' => 0.2, 'read_timeout' => 9],
            'reports' => ['service' => 'db', 'role' => 'replica', 'reconnect' => false],
            'short' => 'db',
        ]]);
        // What removes unused services is not asked here: DoctrineBundle, which uses them, is not in Debian.
        $builder->getCompilerPassConfig()->setRemovingPasses([]);
        $builder->compile();
        self::assertSame([
            'waypost.doctrine.default' => [['connection' => 'default']],
            'waypost.doctrine.reports' => [['connection' => 'reports']],
            'waypost.doctrine.short' => [['connection' => 'short']],
        ], $builder->findTaggedServiceIds('doctrine.middleware'));
        $settings = $builder->getDefinition('waypost.doctrine.default')->getArgument(1);
        self::assertEquals(
            new Settings('db', 'primary', 'b', 7, 3.5, 0.2, 1, 9),
            new Settings(...$settings->getArguments()),
        );
        $settings = $builder->getDefinition('waypost.doctrine.reports')->getArgument(1);
        $wanted = new Settings('db', 'replica', 'b', reconnect: false);
        self::assertEquals($wanted, new Settings(...$settings->getArguments()));
    }

    public function testTheMiddlewareCanBeMadeInACompiledContainer(): void
    {
        $builder = $this->builder(['doctrine' => ['connections' => ['default' => ['service' => 'db']]]]);
        self::addPublic($builder, 'app', new Reference('waypost.doctrine.default'));
        self::assertInstanceOf(DiscoveryMiddleware::class, $this->load($builder)->get('app')[0]);
    }

    public function testT14TheExpressionIsCompiledAndLooksUpWhenTheServiceIsMade(): void
    {
        $builder = $this->builder();
        self::addPublic(
            $builder,
            'app',
            new Expression('discover("memcached")'),
            new Expression('discover("db").pick("primary").host'),
            new Expression('discover("db").addresses("replica")'),
            new Expression("service('waypost.cache_factory').memcached()"),
        );
        $container = $this->load($builder);
        $db = FakeSource::record(1, ['role' => 'primary', 'host' => 'later', 'address' => 'later:1']);
        $this->scratch->services(['db' => [$db], 'memcached' => [FakeSource::record(11213)]]);
        opcache_invalidate($this->file, true);

        [$service, $host, $replicas, $memcached] = $container->get('app')->getArrayCopy();
        self::assertInstanceOf(Service::class, $service);
        self::assertSame(['127.0.0.1:11213'], $service->addresses());
        self::assertSame(['later', []], [$host, $replicas]);
        self::assertSame([11213], array_column($memcached->getServerList(), 'port'));
    }

    public function testTheExpressionCanBeEvaluatedWithoutCompiling(): void
    {
        $builder = $this->builder();
        self::addPublic($builder, 'app', new Expression('discover("my-db").pick().port'));
        $builder->compile();
        self::assertSame(3306, $builder->get('app')[0]);
    }

    public function testT14TheEnvProcessorGivesAUrlItsPartsAndTheRecord(): void
    {
        $builder = $this->builder(['schemes' => ['db' => 'mysql']]);
        self::addPublic(
            $builder,
            'app',
            '%env(discover:db:primary)%',
            '%env(discover:db:replica)%',
            '%env(key:host:url:discover:db:primary)%',
            '%env(int:key:port:url:discover:db:replica)%',
            '%env(key:dbname:discover_record:db:primary)%',
            '%env(discover:my-db:primary)%',
            'host=%env(key:host:discover_record:db:primary)%',
        );
        self::assertSame([
            'mysql://app:s%3A1@127.0.0.1:3306/shop',
            'mysql://127.0.0.1:3307',
            '127.0.0.1',
            3307,
            'shop',
            'tcp://app:s%3A1@127.0.0.1:3306/shop',
            'host=127.0.0.1',
        ], $this->load($builder)->get('app')->getArrayCopy());
    }

    public function testTheSessionHandlerAndThePoolAreServices(): void
    {
        $builder = $this->builder(['memcached' => ['connect_timeout' => 50]]);
        self::addPublic($builder, 'app', new Reference('waypost.session_handler'), new Reference('waypost.memcached'));
        [$handler, $pool] = $this->load($builder)->get('app')->getArrayCopy();
        self::assertInstanceOf(MemcachedSessionHandler::class, $handler);
        self::assertSame(50, $pool->getOption(\Memcached::OPT_CONNECT_TIMEOUT));
        self::assertCount(2, $pool->getServerList());
    }

    public function testSourcesAreMadeAsConfigured(): void
    {
        $builder = $this->builder(['apcu' => ['ttl' => 2], 'socket' => '/run/waypost/api.sock']);
        self::addPublic($builder, 'app', new Reference(Source::class));
        self::assertInstanceOf(ApcuSource::class, $this->load($builder)->get('app')[0]);
        $source = $this->builder(['file' => '/x/services.json'])->getExtension('waypost');
        $source->load([['file' => '/x/services.json', 'socket' => null]], $json = new ContainerBuilder());
        self::assertSame(ChainSource::class, $json->getDefinition('waypost.source')->getClass());
        $made = $json->getDefinition('waypost.source')->getArgument(0);
        self::assertInstanceOf(JsonFileSource::class, ($made->getFactory())(...$made->getArguments()));
    }

    public function testAFileMayBeNamedByAVariableAndApplicationsOfOneApcuKeepTheirOwn(): void
    {
        // What PHP takes for a script and is none, it prints.
        $this->expectOutputString('');
        $ports = [];
        foreach (['one' => 1, 'other' => 2] as $name => $port) {
            $services = ['db' => [FakeSource::record($port)]];
            $_ENV['SERVICES_OF_TEST'] = $this->scratch->services($services, "$name.json");
            // The same prefix: one code, two pools of php-fpm.
            $config = ['file' => '%env(SERVICES_OF_TEST)%', 'apcu' => ['ttl' => 3600, 'prefix' => $this->file]];
            $builder = $this->builder($config);
            self::addPublic($builder, 'app', new Reference(Source::class));
            $ports[] = $this->load($builder)->get('app')[0]->get('db')->pick()->port;
        }
        unset($_ENV['SERVICES_OF_TEST']);
        self::assertSame([1, 2], $ports);
    }

    public function testAConfigurationWithoutAFileIsRefused(): void
    {
        $builder = $this->builder(['file' => '']);
        $this->expectException(InvalidConfigurationException::class);
        $this->expectExceptionMessageMatches('/waypost\.file/');
        $builder->compile();
    }

    public function testATimeoutThatIsNoNumberOfSecondsIsRefused(): void
    {
        $builder = $this->builder(['doctrine' => ['default' => ['service' => 'db', 'read_timeout' => 0]]]);
        $this->expectException(InvalidConfigurationException::class);
        $this->expectExceptionMessageMatches('/read_timeout": whole seconds, 1 or more, or null: 0/');
        $builder->compile();
    }

    public function testAWordThatIsNotKnownIsRefused(): void
    {
        $builder = $this->builder(['doctrine' => ['default' => ['service' => 'db', 'retries' => 3]]]);
        $this->expectException(InvalidConfigurationException::class);
        $wanted = '/Unrecognized option "retries".*"waypost\.doctrine\.connections\.default"/';
        $this->expectExceptionMessageMatches($wanted);
        $builder->compile();
    }
}
