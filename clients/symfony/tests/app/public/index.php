<?php

declare(strict_types=1);

use Symfony\Component\HttpFoundation\Request;
use Waypost\Tests\App\Kernel;

require dirname(__DIR__, 2).'/libraries.php';
require dirname(__DIR__).'/src/Without.php';
require dirname(__DIR__).'/src/Lookups.php';
require dirname(__DIR__).'/src/Kernel.php';

$kernel = new Kernel('prod', false);
$request = Request::createFromGlobals();
$response = $kernel->handle($request);
$response->send();
$kernel->terminate($request, $response);
