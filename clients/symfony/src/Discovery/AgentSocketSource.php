<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/**
 * The agent's local API: `GET /v1/services/NAME` over its Unix socket.
 *
 * An answer takes `limit` seconds at most. The connection is kept, between requests of a php-fpm child too.
 */
final class AgentSocketSource implements Source
{
    private ?HttpOverSocket $connection = null;

    /** @var array{version: string, age_seconds: float, at: float}|null */
    private ?array $last = null;

    public function __construct(
        private readonly string $socket = '/run/waypost/api.sock',
        private readonly float $limit = 0.5,
    ) {
    }

    /** Every answer is fresh: the agent holds what the registry says in memory. */
    public function get(string $service, bool $fresh = false): Service
    {
        $path = '/v1/services/'.implode('/', array_map('rawurlencode', explode('/', $service)));
        try {
            $this->connection ??= new HttpOverSocket($this->socket, $this->limit);
            [$status, $body] = $this->connection->get($path);
            $answer = json_decode($body, true, 16, JSON_THROW_ON_ERROR);
        } catch (\JsonException) {
            throw Unavailable::because($service, $this->socket, 'the answer is no JSON');
        } catch (\RuntimeException $why) {
            throw Unavailable::because($service, $this->socket, $why->getMessage());
        }
        if ($status !== 200) {
            throw Unavailable::because($service, $this->socket, $answer['error'] ?? "status $status");
        }
        // An answer to somebody else's question would be worse than none.
        if (($answer['name'] ?? null) !== $service || !is_array($answer['instances'] ?? null)) {
            $this->connection->close();
            throw Unavailable::because($service, $this->socket, 'the answer is about something else');
        }
        $this->last = ['at' => microtime(true)] + $answer;

        return new Service($service, $answer['instances']);
    }

    public function records(string $service): array
    {
        return $this->get($service)->records();
    }

    public function age(): ?float
    {
        return $this->last === null ? null : $this->last['age_seconds'] + microtime(true) - $this->last['at'];
    }

    public function version(): ?string
    {
        return $this->last['version'] ?? null;
    }
}
