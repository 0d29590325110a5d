<?php

declare(strict_types=1);

namespace Waypost\Tests\Discovery;

use PHPUnit\Framework\TestCase;
use Waypost\Discovery\AgentSocketSource;
use Waypost\Discovery\Unavailable;
use Waypost\Tests\Agent;
use Waypost\Tests\Scratch;

final class AgentSocketTest extends TestCase
{
    public function testTheAgentIsAskedOverAConnectionThatIsKept(): void
    {
        $agent = new Agent(new Scratch(), 'good');
        $source = new AgentSocketSource($agent->socket);
        self::assertNull($source->version());
        self::assertSame(['127.0.0.1:7'], $source->get('shop/a b')->addresses());
        $source->get('db');
        // As in the next request of the same php-fpm child.
        (new AgentSocketSource($agent->socket))->get('mail');
        $asked = array_map(static fn (string $line): string => substr($line, 0, -9), $agent->asked());
        self::assertSame(['1 GET /v1/services/shop/a%20b', '1 GET /v1/services/db', '1 GET /v1/services/mail'], $asked);
        self::assertSame('abc', $source->version());
        self::assertEqualsWithDelta(1.5, $source->age(), 5);
    }

    public function testAForkHasAConnectionOfItsOwn(): void
    {
        $agent = new Agent(new Scratch(), 'good');
        $source = new AgentSocketSource($agent->socket);
        $source->get('db');
        if (($child = pcntl_fork()) === 0) {
            try {
                $source->get('mail');
                (new AgentSocketSource($agent->socket))->get('search');
            } finally {
                // At once, without what a test does at its end.
                posix_kill(posix_getpid(), 9);
            }
        }
        pcntl_waitpid($child, $status);
        $source->get('db');
        $asked = array_map(static fn (string $line): string => substr($line, 0, -9), $agent->asked());
        $of = static fn (string $service, int $at): bool => str_ends_with($asked[$at], "/$service");
        self::assertTrue($of('db', 0) && $of('mail', 1) && $of('search', 2) && $of('db', 3), implode("\n", $asked));
        self::assertSame([$asked[0][0], $asked[1][0]], [$asked[3][0], $asked[2][0]]);
        self::assertNotSame($asked[0][0], $asked[1][0]);
    }

    public function testAnAgentThatWasStartedAnewIsAskedOnANewConnection(): void
    {
        $agent = new Agent(new Scratch(), 'closing');
        $source = new AgentSocketSource($agent->socket);
        self::assertSame([7, 7, 7], array_map(
            static fn (string $name): int => $source->get($name)->pick()->port,
            ['a', 'b', 'c'],
        ));
        self::assertSame('3', $agent->asked()[2][0]);
    }

    public function testASocketThatIsNotThereIsSaid(): void
    {
        $this->expectException(Unavailable::class);
        $this->expectExceptionMessage('service "db" is not known: /nowhere/api.sock: No such file or directory.');
        (new AgentSocketSource('/nowhere/api.sock'))->get('db');
    }

    /** @return iterable<string, array{string, string}> */
    public static function failures(): iterable
    {
        yield 'not read yet' => ['starting', 'the registry was not read yet'];
        yield 'never speaks' => ['silent', 'no answer within 0.2 s'];
        yield 'stops in the middle' => ['half', 'no answer within 0.2 s'];
        yield 'no JSON' => ['html', 'the answer is no JSON'];
        yield 'no length' => ['endless', 'the answer has no length'];
        yield 'no HTTP' => ['not-http', 'the answer is not HTTP/1.1'];
        yield 'another service' => ['other', 'the answer is about something else'];
    }

    /** @dataProvider failures */
    public function testWhatGoesWrongIsSaidInTime(string $script, string $message): void
    {
        $agent = new Agent(new Scratch(), $script);
        $source = new AgentSocketSource($agent->socket, 0.2);
        // Twice: what is left of a failed exchange is not read as the next answer.
        foreach (['db', 'mail'] as $service) {
            $begin = microtime(true);
            try {
                $source->get($service);
                self::fail('there is no answer to give');
            } catch (Unavailable $why) {
                self::assertStringContainsString($agent->socket.': '.$message, $why->getMessage());
            }
            self::assertLessThan(5, microtime(true) - $begin);
        }
    }
}
