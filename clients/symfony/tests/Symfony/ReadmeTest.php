<?php

declare(strict_types=1);

namespace Waypost\Tests\Symfony;

use PHPUnit\Framework\TestCase;
use Symfony\Component\Config\Definition\Processor;
use Symfony\Component\Config\FileLocator;
use Symfony\Component\DependencyInjection\ContainerBuilder;
use Symfony\Component\DependencyInjection\Loader\YamlFileLoader;
use Symfony\Component\Yaml\Yaml;
use Waypost\Symfony\Configuration;
use Waypost\Symfony\WaypostBundle;
use Waypost\Tests\Scratch;

/** What README.md shows is what works. */
final class ReadmeTest extends TestCase
{
    /** @return list<string> the blocks of YAML that begin with a line like that */
    private static function blocks(string $beginning): array
    {
        $readme = (string) file_get_contents(dirname(__DIR__, 2).'/README.md');
        preg_match_all('/^```yaml\n('.$beginning.'\n.*?)^```$/ms', $readme, $found);

        return $found[1];
    }

    public function testTheDefaultsAreThoseThatTheConfigurationHas(): void
    {
        [$block] = self::blocks('# config\/packages\/waypost\.yaml');
        $shown = Yaml::parse($block)['waypost'];
        $processor = new Processor();
        $least = ['file' => $shown['file'], 'doctrine' => ['default' => 'db'], 'schemes' => ['db' => 'mysql']];
        $defaults = $processor->processConfiguration(new Configuration(), [$least]);
        // `enabled` is what canBeEnabled() makes of anything that is said.
        self::assertEquals($defaults, $processor->processConfiguration(new Configuration(), [$shown]));
        self::assertSame(array_keys($defaults), array_keys(array_replace($defaults, $shown)), 'nothing else is shown');
        foreach (['memcached', 'redis', 'apcu'] as $name) {
            self::assertEqualsCanonicalizing(array_keys($defaults[$name]), array_keys($shown[$name]), $name);
        }
        self::assertEqualsCanonicalizing(
            array_keys($defaults['doctrine']['connections']['default']),
            array_keys($shown['doctrine']['connections']['default']),
        );
    }

    public function testItsServicesCanBeCompiled(): void
    {
        class_exists('App\Search') || class_alias(Search::class, 'App\Search');
        $blocks = self::blocks('services:');
        self::assertCount(2, $blocks);
        foreach ($blocks as $block) {
            $scratch = new Scratch();
            $builder = new ContainerBuilder();
            $bundle = new WaypostBundle();
            $bundle->build($builder);
            $builder->registerExtension($bundle->getContainerExtension());
            $builder->loadFromExtension('waypost', ['file' => '/x/services.php', 'doctrine' => ['default' => 'db']]);
            (new YamlFileLoader($builder, new FileLocator()))->load($scratch->write('services.yaml', $block));
            array_map(static fn ($one) => $one->setPublic(true), $builder->getDefinitions());
            $builder->compile();
            self::assertTrue($builder->isCompiled());
        }
    }
}

/** The application's class in the example. */
final class Search
{
    public function __construct(public readonly string $host, public readonly array $nodes)
    {
    }
}
