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
        $bind = static fn (Statement $s) => $s->bindValue($param, $value, $type);

        return $this->bind($param, is_resource($value), $bind);
    }

    public function bindParam($param, &$variable, $type = ParameterType::STRING, $length = null)
    {
        $bind = static function (Statement $s) use ($param, &$variable, $type, $length) {
            return $s->bindParam($param, $variable, $type, $length);
        };

        // What is bound by reference may become a stream later.
        return $this->bind($param, is_resource($variable) || $type === ParameterType::LARGE_OBJECT, $bind);
    }

    public function execute($params = null): Result
    {
        // Given one, it tells of a deprecation.
        $arguments = $params === null ? [] : [$params];

        return $this->run(static fn (Statement $s): Result => $s->execute(...$arguments));
    }
}
