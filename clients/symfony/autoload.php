<?php

declare(strict_types=1);

/* This package's classes, for an application without Composer; what they need is loaded by its own means. */

spl_autoload_register(static function (string $class): void {
    $file = __DIR__.'/src/'.strtr(substr($class, strlen('Waypost\\')), '\\', '/').'.php';
    if (str_starts_with($class, 'Waypost\\') && is_file($file)) {
        require $file;
    }
});
