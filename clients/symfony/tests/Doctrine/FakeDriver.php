<?php

declare(strict_types=1);

namespace Waypost\Tests\Doctrine;

use Doctrine\DBAL\Driver\AbstractException;
use Doctrine\DBAL\Driver\Connection;

/** What opens connections in a test: each attempt fails as it is told to, or gives the connection. */
final class FakeDriver
{
    /** @var list<array> the parameters of all attempts */
    public array $attempts = [];

    /** @param array<int, \Throwable|Connection> $answers by port; an exception is for ever */
    public function __construct(private readonly array $answers)
    {
    }

    public static function error(int $code, string $message = 'failed', ?string $state = 'HY000'): AbstractException
    {
        return new class($message, $state, $code) extends AbstractException {
        };
    }

    public function open(): \Closure
    {
        return function (array $params): Connection {
            $this->attempts[] = $params;
            $answer = $this->answers[$params['port']] ?? self::error(2002, 'Connection refused');

            return $answer instanceof Connection ? $answer : throw $answer;
        };
    }

    /** @return list<int> */
    public function ports(): array
    {
        return array_column($this->attempts, 'port');
    }
}
