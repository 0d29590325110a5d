<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Doctrine\DBAL\ServerVersionProvider;

/**
 * Which DBAL is there.
 *
 * @internal
 */
final class Dbal
{
    /** ServerVersionProvider came with 4.0; the interfaces of a driver got their return types with it. */
    public static function isAtLeast4(): bool
    {
        return interface_exists(ServerVersionProvider::class);
    }
}
