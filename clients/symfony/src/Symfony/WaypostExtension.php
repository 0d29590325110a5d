<?php

declare(strict_types=1);

namespace Waypost\Symfony;

use Psr\Log\LoggerInterface;
use Symfony\Component\Config\Definition\ConfigurationInterface;
use Symfony\Component\DependencyInjection\ContainerBuilder;
use Symfony\Component\DependencyInjection\ContainerInterface;
use Symfony\Component\DependencyInjection\Definition;
use Symfony\Component\DependencyInjection\Extension\Extension;
use Symfony\Component\DependencyInjection\Reference;
use Symfony\Component\HttpFoundation\Session\Storage\Handler\MemcachedSessionHandler;
use Waypost\Cache\CacheFactory;
use Waypost\Discovery\AgentSocketSource;
use Waypost\Discovery\ApcuSource;
use Waypost\Discovery\ChainSource;
use Waypost\Discovery\FileSource;
use Waypost\Discovery\Source;
use Waypost\Doctrine\DiscoveryMiddleware;
use Waypost\Doctrine\Settings;

/** Makes services of the configuration; none of them looks anything up before it is used. */
final class WaypostExtension extends Extension
{
    public const ALIAS = 'waypost';
    public const SOURCE = 'waypost.source';

    public function getAlias(): string
    {
        return self::ALIAS;
    }

    public function getConfiguration(array $config, ContainerBuilder $container): ConfigurationInterface
    {
        return new Configuration();
    }

    public function load(array $configs, ContainerBuilder $container): void
    {
        $config = $this->processConfiguration(new Configuration(), $configs);
        self::source($config, $container);
        self::caches($config, $container);
        self::doctrine($config['doctrine']['connections'], $config['zone'], $container);
        $arguments = [new Reference(self::SOURCE), $config['zone'], $config['schemes']];
        $container->setDefinition('waypost.env', new Definition(DiscoverEnvVarProcessor::class, $arguments))
            ->addTag('container.env_var_processor');
    }

    private static function source(array $config, ContainerBuilder $container): void
    {
        // The name may be a variable's value, which is not known before it is used.
        $file = (new Definition(FileSource::class, [$config['file']]))->setFactory([FileSource::class, 'of']);
        $agent = $config['socket'] === null ? null
            : new Definition(AgentSocketSource::class, [$config['socket'], $config['socket_limit']]);
        $source = new Definition(ChainSource::class, [$file, $agent]);
        if ($config['apcu']['enabled']) {
            // Applications of one php-fpm share APCu, and each has a file of its own.
            $prefix = $config['apcu']['prefix'].':'.$config['file'];
            $arguments = [$source, $config['apcu']['ttl'], $prefix];
            $source = new Definition(ApcuSource::class, $arguments);
        }
        // Public for what discover() is compiled to.
        $container->setDefinition(self::SOURCE, $source)->setPublic(true);
        $container->setAlias(Source::class, self::SOURCE);
    }

    private static function caches(array $config, ContainerBuilder $container): void
    {
        [$memcached, $redis] = [$config['memcached'], $config['redis']];
        $source = new Reference(self::SOURCE);
        $arguments = [$source, $config['zone'], $memcached['connect_timeout'], $redis['timeout']];
        $container->setDefinition('waypost.cache_factory', new Definition(CacheFactory::class, $arguments));
        $container->setAlias(CacheFactory::class, 'waypost.cache_factory');
        $factory = new Reference('waypost.cache_factory');
        $pool = new Definition(\Memcached::class, [$memcached['service']]);
        $container->setDefinition('waypost.memcached', $pool->setFactory([$factory, 'memcached']));
        $client = new Definition(\Redis::class, [$redis['service'], $redis['role']]);
        $container->setDefinition('waypost.redis', $client->setFactory([$factory, 'redis']));
        $options = ['prefix' => $memcached['session']['prefix'], 'ttl' => $memcached['session']['ttl']];
        $arguments = [new Reference('waypost.memcached'), $options];
        $handler = new Definition(MemcachedSessionHandler::class, $arguments);
        $container->setDefinition('waypost.session_handler', $handler);
    }

    /** DoctrineBundle gives what has this tag to the named connection's configuration. */
    private static function doctrine(array $connections, ?string $zone, ContainerBuilder $container): void
    {
        $logger = new Reference(LoggerInterface::class, ContainerInterface::NULL_ON_INVALID_REFERENCE);
        $notice = new Definition(LogFailures::class, [$logger]);
        foreach ($connections as $name => $one) {
            $settings = new Definition(Settings::class, [
                $one['service'],
                $one['role'],
                $zone,
                $one['attempts'],
                $one['budget'],
                $one['pause'],
                $one['connect_timeout'],
                $one['read_timeout'],
                $one['reconnect'],
                $one['idle'],
            ]);
            $arguments = [new Reference(self::SOURCE), $settings, $notice];
            $middleware = new Definition(DiscoveryMiddleware::class, $arguments);
            $middleware->addTag('doctrine.middleware', ['connection' => $name]);
            $container->setDefinition("waypost.doctrine.$name", $middleware);
        }
    }
}
