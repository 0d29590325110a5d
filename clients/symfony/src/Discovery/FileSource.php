<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/** A document that the agent writes and swaps in whole; reading it never waits for anybody. */
abstract class FileSource implements Source
{
    /** What was read last, and serves when the file cannot be read any more. */
    private ?array $last = null;

    private ?string $version = null;

    /** @var array<string, Service> of that version */
    private array $made = [];

    public function __construct(protected readonly string $file)
    {
    }

    /** By the file's name: what ends in .json is no script, and PHP would print it with all that it holds. */
    public static function of(string $file): self
    {
        return str_ends_with($file, '.json') ? new JsonFileSource($file) : new PhpFileSource($file);
    }

    public function get(string $service, bool $fresh = false): Service
    {
        if ($fresh && $this instanceof Forgetful) {
            $this->forget();
        }
        $document = $this->read();
        // Equal versions are equal documents: what was made of this one serves again.
        $isSame = $document !== null && ($document['version'] ?? '') === $this->version;
        if ($isSame && isset($this->made[$service])) {
            return $this->made[$service];
        }

        return $this->make($service, isset($document['services']) ? $document : null);
    }

    public function records(string $service): array
    {
        return $this->get($service)->records();
    }

    /** The agent touches an empty file beside the document, `.NAME.seen`, as long as the registry answers. */
    public function age(): ?float
    {
        $seen = dirname($this->file).'/.'.basename($this->file).'.seen';
        clearstatcache(true, $seen);
        $at = is_file($seen) ? filemtime($seen) : false;

        return $at === false ? null : max(0.0, microtime(true) - $at);
    }

    public function version(): ?string
    {
        return ($this->read() ?? $this->last)['version'] ?? null;
    }

    /** The document; null if there is none, or something else is in the file. */
    abstract protected function read(): ?array;

    private function make(string $service, ?array $document): Service
    {
        $document ??= $this->last ?? throw Unavailable::because($service, $this->file, $this->trouble());
        $version = $document['version'] ?? null;
        if ($version === null || $version !== $this->version) {
            [$this->version, $this->made] = [$version, []];
        }
        $this->last = $document;
        $records = $document['services'][$service]
            ?? throw Unavailable::because($service, $this->file, 'it does not list this service');

        return $this->made[$service] = new Service($service, $records);
    }

    private function trouble(): string
    {
        clearstatcache(true, $this->file);

        return match (true) {
            !file_exists($this->file) => 'there is no such file',
            !is_readable($this->file) => 'it may not be read',
            default => 'it is not what waypost writes',
        };
    }
}
