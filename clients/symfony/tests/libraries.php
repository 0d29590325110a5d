<?php

declare(strict_types=1);

/*
 * Debian's libraries, where their packages put them: there is no vendor directory.
 *
 * WAYPOST_PHP_LIBRARIES names a directory with those of another release, which are used instead. Their own
 * class maps are not: some name each other by where they would be installed, which is where this machine's
 * are.
 */

$libraries = (string) getenv('WAYPOST_PHP_LIBRARIES');
if ($libraries !== '') {
    spl_autoload_register(static function (string $class) use ($libraries): void {
        $file = $libraries.'/'.strtr($class, '\\', '/').'.php';
        if (is_file($file)) {
            require $file;
        }
    }, true, true);
    foreach (['Contracts/Deprecation/function.php', 'Component/String/Resources/functions.php'] as $functions) {
        require_once "$libraries/Symfony/$functions";
    }
    // Symfony 6 asks Composer what is installed; it is told of nothing, and then looks for classes.
    require_once 'Composer/InstalledVersions.php';
} else {
    foreach (['Bundle/FrameworkBundle', 'Component/ExpressionLanguage', 'Component/Yaml'] as $library) {
        require_once "Symfony/$library/autoload.php";
    }
    require_once 'Doctrine/DBAL/autoload.php';
}
require_once dirname(__DIR__).'/autoload.php';
spl_autoload_register(static function (string $class): void {
    $file = __DIR__.'/'.strtr(substr($class, strlen('Waypost\\Tests\\')), '\\', '/').'.php';
    if (str_starts_with($class, 'Waypost\\Tests\\') && is_file($file)) {
        require $file;
    }
});
