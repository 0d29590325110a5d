<?php

declare(strict_types=1);

namespace Waypost\Symfony;

use Symfony\Component\ExpressionLanguage\ExpressionFunction;
use Symfony\Component\ExpressionLanguage\ExpressionFunctionProviderInterface;

/** `discover('db')` in a service's arguments: the service as it is known when that service is made. */
final class DiscoverExpression implements ExpressionFunctionProviderInterface
{
    public function getFunctions(): array
    {
        // The container is $this in the code that Symfony 5.4 writes, and $container in that of 6.
        $compile = static fn (string $name): string => sprintf(
            '($container ?? $this)->get(\'%s\')->get(%s)',
            WaypostExtension::SOURCE,
            $name,
        );
        $evaluate = static fn (array $variables, string $name) => $variables['container']
            ->get(WaypostExtension::SOURCE)
            ->get($name);

        return [new ExpressionFunction('discover', $compile, $evaluate)];
    }
}
