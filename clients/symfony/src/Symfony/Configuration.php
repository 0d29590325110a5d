<?php

declare(strict_types=1);

namespace Waypost\Symfony;

use Symfony\Component\Config\Definition\Builder\ArrayNodeDefinition;
use Symfony\Component\Config\Definition\Builder\NodeBuilder;
use Symfony\Component\Config\Definition\Builder\TreeBuilder;
use Symfony\Component\Config\Definition\ConfigurationInterface;

/** What can be said under `waypost:`; README.md lists it with examples. */
final class Configuration implements ConfigurationInterface
{
    public function getConfigTreeBuilder(): TreeBuilder
    {
        $tree = new TreeBuilder(WaypostExtension::ALIAS);
        $root = $tree->getRootNode();
        $nodes = $root->children();
        self::sources($nodes);
        self::doctrine($nodes->arrayNode('doctrine')->addDefaultsIfNotSet());
        self::caches($nodes);
        $nodes->arrayNode('schemes')
            ->info('Schemes of the URLs that %env(discover:NAME)% gives, by service')
            ->normalizeKeys(false)->useAttributeAsKey('service')->scalarPrototype();
        $root->fixXmlConfig('scheme');

        return $tree;
    }

    private static function sources(NodeBuilder $nodes): void
    {
        $nodes->scalarNode('file')->isRequired()->cannotBeEmpty()
            ->info('What the agent writes for this application: services.php, or services.json');
        $nodes->scalarNode('socket')->defaultValue('/run/waypost/api.sock')
            ->info('The agent\'s local API, asked after a failure; null for none');
        $nodes->floatNode('socket_limit')->defaultValue(0.5)->min(0.01)
            ->info('Seconds for an answer on it');
        $nodes->scalarNode('zone')->defaultNull()
            ->info('Where this application is: instances there go before others');
        $apcu = $nodes->arrayNode('apcu')->canBeEnabled()->children();
        $apcu->floatNode('ttl')->defaultValue(1.0)->min(0)->info('Seconds that an answer is good for');
        $apcu->scalarNode('prefix')->defaultValue('waypost');
    }

    private static function doctrine(ArrayNodeDefinition $doctrine): void
    {
        // Either the whole, or only the connections.
        $doctrine->beforeNormalization()
            ->ifTrue(static fn ($value): bool => is_array($value) && !array_key_exists('connections', $value))
            ->then(static fn (array $value): array => ['connections' => $value]);
        $connection = $doctrine->children()->arrayNode('connections')
            ->normalizeKeys(false)->useAttributeAsKey('name')->arrayPrototype();
        $connection->beforeNormalization()->ifString()
            ->then(static fn (string $service): array => ['service' => $service]);
        $nodes = $connection->children();
        $nodes->scalarNode('service')->isRequired()->cannotBeEmpty();
        $nodes->scalarNode('role')->defaultValue('primary')->info('null for any');
        $nodes->integerNode('attempts')->defaultValue(5)->min(1);
        $nodes->floatNode('budget')->defaultValue(2.0)->min(0)
            ->info('Seconds after which nothing is tried again');
        $nodes->floatNode('pause')->defaultValue(0.1)->min(0)
            ->info('Seconds before the same address is tried again');
        $nodes->integerNode('connect_timeout')->defaultValue(1)->min(1)->info('Seconds for one attempt');
        // An integer node takes no null.
        $nodes->scalarNode('read_timeout')->defaultNull()
            ->info('MySQL: seconds for the greeting, and for each query')->validate()
            ->ifTrue(static fn ($value): bool => $value !== null && (!is_int($value) || $value < 1))
            ->thenInvalid('whole seconds, 1 or more, or null: %s');
        $nodes->booleanNode('reconnect')->defaultTrue()
            ->info('Repeat statements on a new connection where it is safe');
        $nodes->floatNode('idle')->defaultValue(1.0)->min(0)
            ->info('Seconds after which a connection is looked at first');
    }

    private static function caches(NodeBuilder $nodes): void
    {
        $memcached = $nodes->arrayNode('memcached')->addDefaultsIfNotSet()->children();
        $memcached->scalarNode('service')->defaultValue('memcached');
        $memcached->integerNode('connect_timeout')->defaultValue(100)->min(1)->info('Milliseconds');
        $session = $memcached->arrayNode('session')->addDefaultsIfNotSet()->children();
        $session->scalarNode('prefix')->defaultValue('session_');
        $session->integerNode('ttl')->defaultValue(86400)->min(1)->info('Seconds');
        $redis = $nodes->arrayNode('redis')->addDefaultsIfNotSet()->children();
        $redis->scalarNode('service')->defaultValue('redis');
        $redis->scalarNode('role')->defaultValue('primary')->info('null for any');
        $redis->floatNode('timeout')->defaultValue(0.2)->min(0.01)->info('Seconds');
    }
}
