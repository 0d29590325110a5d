<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/**
 * The agent's services.php. Under opcache it is an immutable array in shared memory: a look-up copies and
 * decodes nothing, whatever the file's size.
 *
 * opcache sees a new file after up to `opcache.revalidate_freq` + 1 seconds, and never where
 * `opcache.validate_timestamps` is 0, unless somebody tells it: the agent does, by resources/invalidate.php.
 */
final class PhpFileSource extends FileSource implements Forgetful
{
    public function records(string $service): array
    {
        try {
            return (@include $this->file)['services'][$service] ?? parent::records($service);
        } catch (\ParseError) {
            return parent::records($service);
        }
    }

    /**
     * Makes opcache read the file again if another version is in it.
     *
     * Only then: what opcache lets go of stays in its memory as waste until that is full, and while a
     * database is down every request comes here.
     */
    public function forget(): void
    {
        $isOther = $this->versionInFile() !== ($this->read()['version'] ?? '');
        if ($isOther && function_exists('opcache_invalidate')) {
            // Forced: opcache compares modification times in whole seconds, and two versions may share one.
            @opcache_invalidate($this->file, true);
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
        try {
            $document = @include $this->file;
        } catch (\ParseError) {
            return null;
        }

        return is_array($document) ? $document : null;
    }
}
