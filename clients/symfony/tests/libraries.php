<?php

declare(strict_types=1);

/*
 * Debian's libraries bring a class map each, and are found on the include path; there is no vendor directory.
 * WAYPOST_PHP_LIBRARIES names a directory whose libraries go before those of the machine.
 */

$libraries = (string) getenv('WAYPOST_PHP_LIBRARIES');
if ($libraries !== '') {
    set_include_path($libraries.PATH_SEPARATOR.get_include_path());
}
foreach ([
    'Symfony/Bundle/FrameworkBundle',
    'Symfony/Component/ExpressionLanguage',
    'Symfony/Component/Yaml',
    'Doctrine/DBAL',
] as $library) {
    require_once $library.'/autoload.php';
}
spl_autoload_register(static function (string $class): void {
    foreach (['Waypost\\Tests\\' => __DIR__, 'Waypost\\' => dirname(__DIR__).'/src'] as $prefix => $directory) {
        $file = $directory.'/'.strtr(substr($class, strlen($prefix)), '\\', '/').'.php';
        if (str_starts_with($class, $prefix) && is_file($file)) {
            require $file;

            return;
        }
    }
});
