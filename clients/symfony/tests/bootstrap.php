<?php

declare(strict_types=1);

require __DIR__.'/libraries.php';

// In every run's report: which libraries these were.
$of = static fn (string $class): string => (string) (new ReflectionClass($class))->getFileName();
fprintf(
    STDERR,
    "PHP %s, Symfony %s (%s), DBAL %d (%s)\n",
    PHP_VERSION,
    Symfony\Component\HttpKernel\Kernel::VERSION,
    $of(Symfony\Component\HttpKernel\Kernel::class),
    interface_exists(Doctrine\DBAL\ServerVersionProvider::class) ? 4 : 3,
    $of(Doctrine\DBAL\DriverManager::class),
);
if ($libraries !== '' && !str_starts_with($of(Doctrine\DBAL\DriverManager::class), $libraries)) {
    throw new LogicException("DBAL is not taken from WAYPOST_PHP_LIBRARIES, $libraries");
}
