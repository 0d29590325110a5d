<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Doctrine\DBAL\Driver\Result;
use Doctrine\DBAL\Driver\Statement;
use Doctrine\DBAL\ParameterType;

/** @internal */
final class Dbal3Statement extends DiscoveryStatement
{
    public function bindValue($param, $value, $type = ParameterType::STRING)
    {
        return $this->bind($param, $value, static fn (Statement $s) => $s->bindValue($param, $value, $type));
    }

    public function bindParam($param, &$variable, $type = ParameterType::STRING, $length = null)
    {
        $bind = static function (Statement $s) use ($param, &$variable, $type, $length) {
            return $s->bindParam($param, $variable, $type, $length);
        };

        return $this->bind($param, $variable, $bind);
    }

    public function execute($params = null): Result
    {
        // Given one, it tells of a deprecation.
        $arguments = $params === null ? [] : [$params];

        return $this->run(static fn (Statement $s): Result => $s->execute(...$arguments));
    }
}
