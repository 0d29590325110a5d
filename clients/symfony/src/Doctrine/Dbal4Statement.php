<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Doctrine\DBAL\Driver\Result;
use Doctrine\DBAL\Driver\Statement;
use Doctrine\DBAL\ParameterType;

/** @internal */
final class Dbal4Statement extends DiscoveryStatement
{
    public function bindValue(int|string $param, mixed $value, ParameterType $type): void
    {
        $bind = static fn (Statement $s) => $s->bindValue($param, $value, $type);
        $this->bind($param, is_resource($value), $bind);
    }

    public function execute(): Result
    {
        return $this->run(static fn (Statement $s): Result => $s->execute());
    }
}
