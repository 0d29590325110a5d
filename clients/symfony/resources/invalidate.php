<?php

declare(strict_types=1);

/*
 * Tells the opcache of the php-fpm that runs this that a file is another one now: once a master, for all its
 * pools and children. The agent asks for it by FastCGI after each swap.
 *
 * The file comes in the FastCGI parameter WAYPOST_FILE and from nowhere else: what a web client can set
 * begins with HTTP_. It must be the path of a regular PHP file; dropping such a file from a cache is all that
 * can be asked for.
 *
 * Answers 200 and `ok …`, or another status and why not.
 */

$answer = static function (int $status, string $line): void {
    http_response_code($status);
    header('Content-Type: text/plain; charset=utf-8');
    echo $line, "\n";
};

$file = $_SERVER['WAYPOST_FILE'] ?? '';
if (!is_string($file) || $file === '') {
    $answer(404, 'WAYPOST_FILE is not set: this is for waypost');

    return;
}
clearstatcache(true);
if ($file[0] !== '/' || str_contains($file, "\0") || !str_ends_with($file, '.php')) {
    $answer(400, 'WAYPOST_FILE is not the absolute path of a .php file');

    return;
}
if (is_link($file) || !is_file($file)) {
    $answer(400, 'WAYPOST_FILE is not a regular file, or not one that php-fpm may see');

    return;
}
// Forced: two versions may have the same modification time, which is all that opcache would compare.
if (function_exists('opcache_invalidate') && @opcache_invalidate($file, true)) {
    $answer(200, 'ok: invalidated');

    return;
}
if ((string) ini_get('opcache.restrict_api') !== '') {
    $answer(500, 'opcache.restrict_api keeps this script from opcache: let it begin with its path');

    return;
}
$answer(200, 'ok: there is no opcache here');
