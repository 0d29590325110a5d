<?php

declare(strict_types=1);

namespace Waypost\Tests\Symfony;

use PHPUnit\Framework\TestCase;
use Symfony\Component\HttpFoundation\Request;
use Waypost\Tests\App\Kernel;
use Waypost\Tests\FakeSource;
use Waypost\Tests\Scratch;

/**
 * The bundle in a whole application, with FrameworkBundle and a kernel that compiles its container to a file.
 */
final class ApplicationTest extends TestCase
{
    private Scratch $scratch;

    /** @var array<string, string> */
    private array $variables;

    protected function setUp(): void
    {
        foreach (['Without', 'Lookups', 'Kernel'] as $class) {
            require_once dirname(__DIR__)."/app/src/$class.php";
        }
        $this->scratch = new Scratch();
        $this->variables = [
            'WAYPOST_SERVICES' => $this->scratch->services(['db' => [FakeSource::record(9)]]),
            'APP_CACHE_DIR' => $this->scratch->path('cache'),
            'APP_BUDGET' => '0.05',
        ];
        foreach ($this->variables as $name => $value) {
            putenv("$name=$value");
        }
    }

    protected function tearDown(): void
    {
        restore_exception_handler();
        array_map(static fn (string $name) => putenv($name), array_keys($this->variables));
    }

    private function get(string $path): string
    {
        $kernel = new Kernel('prod', false);
        $response = $kernel->handle(Request::create($path));
        $kernel->shutdown();

        return $response->getStatusCode().' '.$response->getContent();
    }

    public function testT14AKernelWithTheBundleBootsAndKnowsItsServices(): void
    {
        self::assertSame('200 pong', $this->get('/ping'));
        self::assertSame(
            '200 {"addresses":["127.0.0.1:9"],"version":"v1","age_seconds":null}',
            $this->get('/services/db'),
        );
        // A dead database is still Doctrine's to say.
        self::assertStringStartsWith('503 Doctrine\DBAL\Exception\ConnectionException', $this->get('/db'));
        $this->scratch->services(['db' => []], 'php', 'v2');
        self::assertSame('200 {"addresses":[],"version":"v2","age_seconds":null}', $this->get('/services/db?fresh=1'));
    }
}
