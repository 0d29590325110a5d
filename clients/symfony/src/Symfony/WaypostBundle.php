<?php

declare(strict_types=1);

namespace Waypost\Symfony;

use Symfony\Component\DependencyInjection\ContainerBuilder;
use Symfony\Component\DependencyInjection\Extension\ExtensionInterface;
use Symfony\Component\ExpressionLanguage\ExpressionFunctionProviderInterface;
use Symfony\Component\HttpKernel\Bundle\Bundle;

/**
 * Discovery for a Symfony application: `waypost:` in its configuration, and `discover()` in its expressions.
 */
final class WaypostBundle extends Bundle
{
    public function build(ContainerBuilder $container): void
    {
        // Not in the extension: what that adds is not there yet when other bundles' expressions are compiled.
        if (interface_exists(ExpressionFunctionProviderInterface::class)) {
            $container->addExpressionLanguageProvider(new DiscoverExpression());
        }
    }

    public function getContainerExtension(): ?ExtensionInterface
    {
        return $this->extension ?: $this->extension = new WaypostExtension();
    }
}
