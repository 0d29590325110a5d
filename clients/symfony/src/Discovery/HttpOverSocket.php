<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/**
 * The little of HTTP/1.1 that asking the agent takes: a GET, a status, a body of known length, a kept
 * connection.
 *
 * By hand, since it is ten times as fast as a new curl handle in each request, and needs no extension.
 *
 * @internal
 */
final class HttpOverSocket
{
    /** Larger answers are refused: something else listens there. */
    private const LARGEST = 16 * 1024 * 1024;

    /** @var resource|null */
    private $stream = null;

    private bool $busy = false;

    private bool $watched = false;

    private float $deadline = 0.0;

    /**
     * @var array<string, int|false> whose process each connection is: a child of a fork would read its
     *     parent's answers
     */
    private static array $processes = [];

    public function __construct(private readonly string $socket, private readonly float $limit)
    {
    }

    /**
     * @return array{int, string} status and body
     *
     * @throws \RuntimeException with one line that says what is wrong
     */
    public function get(string $path): array
    {
        $this->deadline = microtime(true) + $this->limit;
        $this->busy = true;
        try {
            $answer = $this->exchange($path) ?? $this->exchange($path)
                ?? throw new \RuntimeException('the connection was closed without an answer');
        } catch (\RuntimeException $why) {
            $this->close();
            throw $why;
        }
        $this->busy = false;

        return $answer;
    }

    public function close(): void
    {
        if (is_resource($this->stream)) {
            fclose($this->stream);
        }
        $this->stream = null;
        $this->busy = false;
    }

    /**
     * Null if a kept connection turns out to be closed: the agent was started anew, and a new one will do.
     */
    private function exchange(string $path): ?array
    {
        $this->open();
        $request = "GET $path HTTP/1.1\r\nHost: waypost\r\nAccept: application/json\r\n\r\n";
        if (@fwrite($this->stream, $request) !== strlen($request)) {
            $this->close();

            return null;
        }
        $line = $this->line();
        if ($line === null) {
            $this->close();

            return null;
        }
        if (preg_match('{^HTTP/1\.1 (\d{3})}', $line, $found) !== 1) {
            throw new \RuntimeException('the answer is not HTTP/1.1');
        }
        [$length, $close] = $this->headers();
        $body = $this->body($length);
        if ($close) {
            $this->close();
        }

        return [(int) $found[1], $body];
    }

    private function open(): void
    {
        if ($this->isUsable()) {
            return;
        }
        $this->close();
        // Kept open by the process, and found again by its address in the next request.
        $stream = @pfsockopen('unix://'.$this->socket, -1, $code, $why, $this->remaining());
        if ($stream === false) {
            throw new \RuntimeException($why === '' ? 'cannot be connected to' : $why);
        }
        $this->stream = $stream;
        self::$processes[$this->socket] ??= getmypid();
        $this->closeWhenCutOff();
        if (!$this->isUsable()) {
            fclose($stream);
            $this->stream = @pfsockopen('unix://'.$this->socket, -1, $code, $why, $this->remaining()) ?: null;
            is_resource($this->stream) || throw new \RuntimeException($why);
            self::$processes[$this->socket] = getmypid();
        }
    }

    /**
     * What can be read before anything was asked is an end, or an answer that somebody else did not wait for.
     */
    private function isUsable(): bool
    {
        if (!is_resource($this->stream) || self::$processes[$this->socket] !== getmypid()) {
            return false;
        }
        [$read, $write, $except] = [[$this->stream], null, null];

        return @stream_select($read, $write, $except, 0, 0) === 0;
    }

    /** A request that ends in the middle of an exchange leaves no answer behind for the next one. */
    private function closeWhenCutOff(): void
    {
        if (!$this->watched) {
            $this->watched = true;
            register_shutdown_function(fn () => $this->busy ? $this->close() : null);
        }
    }

    /** @return array{int, bool} the body's length, and whether the connection ends after it */
    private function headers(): array
    {
        [$length, $close] = [null, false];
        while (($line = $this->line() ?? throw new \RuntimeException('the answer ends early')) !== '') {
            [$name, $value] = explode(':', $line, 2) + [1 => ''];
            match (strtolower($name)) {
                'content-length' => $length = (int) trim($value),
                'connection' => $close = strtolower(trim($value)) === 'close',
                default => null,
            };
        }
        if ($length === null || $length < 0 || $length > self::LARGEST) {
            throw new \RuntimeException('the answer has no length, or is too long');
        }

        return [$length, $close];
    }

    private function line(): ?string
    {
        $this->limitReading();
        $line = fgets($this->stream, 8192);
        $this->failIfLate();

        return $line === false ? null : rtrim($line, "\r\n");
    }

    private function body(int $length): string
    {
        $body = '';
        while (strlen($body) < $length) {
            $this->limitReading();
            $part = fread($this->stream, $length - strlen($body));
            $this->failIfLate();
            if ($part === false || $part === '') {
                throw new \RuntimeException('the answer ends early');
            }
            $body .= $part;
        }

        return $body;
    }

    private function limitReading(): void
    {
        $left = $this->remaining();
        stream_set_timeout($this->stream, (int) $left, (int) (fmod($left, 1) * 1_000_000));
    }

    private function remaining(): float
    {
        // No time at all would mean no limit to some of the calls.
        return max(0.001, $this->deadline - microtime(true));
    }

    private function failIfLate(): void
    {
        if (stream_get_meta_data($this->stream)['timed_out'] || microtime(true) > $this->deadline) {
            throw new \RuntimeException(sprintf('no answer within %g s', $this->limit));
        }
    }
}
