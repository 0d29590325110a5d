<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Doctrine\DBAL\Driver\AbstractException;

/**
 * Discovery has nobody to connect to: DBAL makes a ConnectionException of it, as of a server that is not
 * there.
 *
 * @internal
 */
final class NotFound extends AbstractException
{
    /** Who cannot be found (MySQL's CR_CONNECTION_ERROR), and PostgreSQL's connection_failure. */
    private const CODE = 2002;
    private const STATE = '08006';

    public static function because(\RuntimeException $why): self
    {
        return new self($why->getMessage(), self::STATE, self::CODE, $why);
    }
}
