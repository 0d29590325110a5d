<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/** The agent's services.json, for programs without opcache; each look-up decodes all of it. */
final class JsonFileSource extends FileSource
{
    protected function read(): ?array
    {
        $document = json_decode((string) @file_get_contents($this->file), true);

        return is_array($document) ? $document : null;
    }
}
