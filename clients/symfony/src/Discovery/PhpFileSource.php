<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/**
 * The agent's services.php. Under opcache it is an immutable array in shared memory: a look-up copies and
 * decodes nothing, whatever the file's size.
 *
 * opcache sees a new file after up to `opcache.revalidate_freq` + 1 seconds, and never where
 * `opcache.validate_timestamps` is 0, unless somebody tells it: the agent does, by resources/invalidate.php.
 * A process that lives for long has an opcache that nobody reaches, and whose clock stands still: it looks at
 * the file at each look-up, if it has one (`opcache.enable_cli`).
 */
final class PhpFileSource extends FileSource implements Forgetful
{
    /** In these a script ends with its answer, and each begins with a new time. */
    private const SHORT_LIVED = ['fpm-fcgi', 'cgi-fcgi', 'apache2handler', 'litespeed', 'cli-server'];

    /** @var array<string, list<int>> of what this process has read last, by file */
    private static array $stamps = [];

    private readonly bool $looks;

    /** The file, if nothing but an include is needed: the first touch of each property in a request is dear. */
    private readonly ?string $direct;

    public function __construct(string $file)
    {
        parent::__construct($file);
        $this->looks = !in_array(PHP_SAPI, self::SHORT_LIVED, true) && function_exists('opcache_invalidate')
            && ini_get(PHP_SAPI === 'cli' ? 'opcache.enable_cli' : 'opcache.enable');
        $this->direct = $this->looks ? null : $file;
    }

    public function records(string $service): array
    {
        $file = $this->direct;
        if ($file === null) {
            return parent::records($service);
        }
        try {
            // Not silenced, which would be a third of the cost: PHP's warning of a missing file is true.
            $records = (include $file)['services'][$service] ?? null;
        } catch (\Throwable) {
            // The file is broken, or warnings are made exceptions here.
            $records = null;
        }

        return $records ?? parent::records($service);
    }

    /**
     * Makes opcache read the file again if another version is in it.
     *
     * Only then: what opcache lets go of stays in its memory as waste until that is full, and while a
     * database is down every request comes here. Where no version can be read, what opcache has is better.
     */
    public function forget(): void
    {
        $version = $this->versionInFile();
        $isOther = $version !== null && $version !== ($this->read()['version'] ?? '');
        if ($isOther && function_exists('opcache_invalidate')) {
            // Forced: opcache compares modification times in whole seconds, and two versions may share one.
            @opcache_invalidate($this->file, true);
        }
    }

    private function look(): void
    {
        clearstatcache(true, $this->file);
        $stat = @stat($this->file);
        $stamp = $stat === false ? [] : [$stat['ino'], $stat['mtime'], $stat['size']];
        $before = self::$stamps[$this->file] ?? $stamp;
        self::$stamps[$this->file] = $stamp;
        if ($stamp !== $before) {
            $this->forget();
        }
    }

    /** It is among the first things that the agent writes. */
    private function versionInFile(): ?string
    {
        $begin = (string) @file_get_contents($this->file, false, null, 0, 256);

        return preg_match('/\'version\' *=> *\'(\w+)\'/', $begin, $found) === 1 ? $found[1] : null;
    }

    protected function read(): ?array
    {
        $this->looks && $this->look();
        try {
            $document = @include $this->file;
        } catch (\ParseError) {
            return null;
        }

        return is_array($document) ? $document : null;
    }
}
