<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/** The service is known, and no instance of it will do. */
final class NoInstance extends \RuntimeException
{
    public static function of(string $service, ?string $role, int $instances): self
    {
        $wanted = $role === null ? 'takes work' : sprintf('has the role "%s"', $role);

        return new self(sprintf(
            'service "%s": none of %d instance(s) %s. Announce one, or ask for another role',
            $service,
            $instances,
            $wanted,
        ));
    }
}
