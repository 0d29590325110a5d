<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/** One running copy of a service: where it answers, and what the registry says beside that. */
final class Instance
{
    /**
     * @param string                $address HOST:PORT, an IPv6 address in brackets
     * @param int                   $weight  its share of the work; one of weight 0 gets no new work
     * @param list<string>          $tags
     * @param array<string, string> $meta    everything else: user, password, dbname and so on
     */
    public function __construct(
        public readonly string $id,
        public readonly string $address,
        public readonly string $host,
        public readonly int $port,
        public readonly int $weight = 1,
        public readonly ?string $role = null,
        public readonly ?string $zone = null,
        public readonly array $tags = [],
        #[\SensitiveParameter] public readonly array $meta = [],
    ) {
    }

    /** Reads a record as the agent writes it, in its file and on its socket. */
    public static function of(#[\SensitiveParameter] array $record): self
    {
        return new self(
            (string) $record['id'],
            $record['address'],
            $record['host'],
            $record['port'],
            $record['weight'] ?? 1,
            $record['role'] ?? null,
            $record['zone'] ?? null,
            $record['tags'] ?? [],
            $record['meta'] ?? [],
        );
    }

    /**
     * SCHEME://USER:PASSWORD@HOST:PORT/DBNAME, with what the registry knows of it.
     *
     * The scheme is the record's own `scheme`, else the given one.
     */
    public function url(string $scheme = 'tcp'): string
    {
        $user = isset($this->meta['user']) ? rawurlencode($this->meta['user']) : '';
        $password = isset($this->meta['password']) ? ':'.rawurlencode($this->meta['password']) : '';
        $who = $user.$password === '' ? '' : $user.$password.'@';
        $path = isset($this->meta['dbname']) ? '/'.rawurlencode($this->meta['dbname']) : '';

        return ($this->meta['scheme'] ?? $scheme).'://'.$who.$this->address.$path;
    }

    /** Everything in one array: what is in `meta` stands beside host and port, and never in their place. */
    public function toArray(): array
    {
        $own = get_object_vars($this);
        unset($own['meta']);

        return $own + $this->meta;
    }

    /** The values in `meta` may be secrets: dumps show their names. */
    public function __debugInfo(): array
    {
        return ['meta' => array_keys($this->meta)] + get_object_vars($this);
    }
}
