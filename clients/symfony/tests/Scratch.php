<?php

declare(strict_types=1);

namespace Waypost\Tests;

/** A directory of a test's own, which goes with it; and an agent's pen. */
final class Scratch
{
    private readonly string $directory;

    private int $modified;

    public function __construct()
    {
        $this->directory = sys_get_temp_dir().'/waypost-php-'.bin2hex(random_bytes(8));
        $this->modified = time() - 3600;
        mkdir($this->directory, 0700);
    }

    public function __destruct()
    {
        self::remove($this->directory);
    }

    public function path(string $name): string
    {
        return $this->directory.'/'.$name;
    }

    /** Swaps a file in whole, with a modification time later than the one before. */
    public function write(string $name, string $text): string
    {
        file_put_contents($this->path('.stage'), $text);
        touch($this->path('.stage'), ++$this->modified);
        rename($this->path('.stage'), $this->path($name));

        return $this->path($name);
    }

    /** @param array<string, list<array>> $services */
    public function services(array $services, string $form = 'php', string $version = 'v1'): string
    {
        $document = ['waypost' => 1, 'version' => $version, 'services' => $services];
        $text = str_ends_with($form, 'json')
            ? json_encode($document, JSON_THROW_ON_ERROR)
            : '<?php return '.self::literal($document).';';

        return $this->write("services.$form", $text);
    }

    /** As the agent writes: strings in single quotes, with a backslash before backslashes and quotes only. */
    private static function literal(mixed $value): string
    {
        if (!is_array($value)) {
            return is_string($value) ? "'".strtr($value, ['\\' => '\\\\', "'" => "\\'"])."'" : json_encode($value);
        }
        $items = [];
        foreach ($value as $key => $item) {
            $items[] = (array_is_list($value) ? '' : self::literal((string) $key).' => ').self::literal($item);
        }

        return '['.implode(', ', $items).']';
    }

    private static function remove(string $path): void
    {
        if (is_dir($path) && !is_link($path)) {
            foreach (array_diff((array) scandir($path), ['.', '..']) as $name) {
                self::remove("$path/$name");
            }
            rmdir($path);
        } else {
            unlink($path);
        }
    }
}
