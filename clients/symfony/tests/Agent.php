<?php

declare(strict_types=1);

namespace Waypost\Tests;

/** An agent's socket in another process, which plays what a test writes for it; it ends with this value. */
final class Agent
{
    public readonly string $socket;

    /** @var resource */
    private $process;

    /** @param string $script a script of tests/agents.php */
    public function __construct(private readonly Scratch $scratch, string $script)
    {
        $this->socket = $scratch->path('api.sock');
        $command = [PHP_BINARY, '-n', __DIR__.'/agents.php', $this->socket, $script, $scratch->path('asked')];
        $nothing = ['file', '/dev/null', 'w'];
        $process = proc_open($command, [['file', '/dev/null', 'r'], $nothing, $nothing], $pipes);
        $this->process = $process ?: throw new \RuntimeException('cannot start '.PHP_BINARY);
        $end = microtime(true) + 20;
        while (!file_exists($this->socket)) {
            microtime(true) < $end || throw new \RuntimeException('the agent does not listen');
            usleep(1000);
        }
    }

    public function __destruct()
    {
        proc_terminate($this->process, 9);
        proc_close($this->process);
    }

    /** @return list<string> the lines of all requests: the number of the connection, and what was asked */
    public function asked(): array
    {
        return file($this->scratch->path('asked'), FILE_IGNORE_NEW_LINES) ?: [];
    }
}
