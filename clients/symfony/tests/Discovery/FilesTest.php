<?php

declare(strict_types=1);

namespace Waypost\Tests\Discovery;

use PHPUnit\Framework\TestCase;
use Waypost\Discovery\FileSource;
use Waypost\Discovery\JsonFileSource;
use Waypost\Discovery\PhpFileSource;
use Waypost\Discovery\Unavailable;
use Waypost\Tests\FakeSource;
use Waypost\Tests\Scratch;

final class FilesTest extends TestCase
{
    private Scratch $scratch;

    protected function setUp(): void
    {
        $this->scratch = new Scratch();
    }

    /** @return iterable<string, array{string}> */
    public static function forms(): iterable
    {
        yield 'php' => ['php'];
        yield 'json' => ['json'];
    }

    private function source(string $form, array $document): FileSource
    {
        $file = $this->scratch->services($document['services'] ?? [], $form, $document['version'] ?? 'v1');

        return $form === 'php' ? new PhpFileSource($file) : new JsonFileSource($file);
    }

    /** @dataProvider forms */
    public function testAServiceIsWhatTheFileSays(string $form): void
    {
        $source = $this->source($form, ['services' => ['db' => [FakeSource::record(3306)], 'none' => []]]);
        self::assertSame(['127.0.0.1:3306'], $source->get('db')->addresses());
        self::assertCount(0, $source->get('none'));
        self::assertSame('v1', $source->version());
    }

    /** @dataProvider forms */
    public function testRecordsAreWhatTheFileSays(string $form): void
    {
        $record = FakeSource::record(3306);
        $source = $this->source($form, ['services' => ['db' => [$record], 'none' => []]]);
        self::assertSame([[$record], []], [$source->records('db'), $source->records('none')]);
        $source->get('db');
        unlink($this->scratch->path("services.$form"));
        self::assertSame([$record], $source->records('db'), 'what get() has read serves');
        $this->expectException(Unavailable::class);
        $source->records('unheard-of');
    }

    /** @dataProvider forms */
    public function testASwappedFileIsSeenAtTheNextLook(string $form): void
    {
        $source = $this->source($form, ['services' => ['db' => [FakeSource::record(1)]]]);
        self::assertSame(1, $source->get('db')->pick()->port);
        $this->source($form, ['version' => 'v2', 'services' => ['db' => [FakeSource::record(2)]]]);
        self::assertSame(2, $source->get('db', true)->pick()->port);
    }

    /** @dataProvider forms */
    public function testWhatWasReadServesWhenTheFileIsGoneOrBroken(string $form): void
    {
        $source = $this->source($form, ['services' => ['db' => [FakeSource::record(1)]]]);
        $source->get('db');
        file_put_contents($this->scratch->path("services.$form"), '<?php return [');
        self::assertSame(1, $source->get('db', true)->pick()->port);
        unlink($this->scratch->path("services.$form"));
        self::assertSame(1, $source->get('db', true)->pick()->port);
        self::assertSame('v1', $source->version());
    }

    /** @dataProvider forms */
    public function testAnUnknownServiceIsSaidWithTheFileAndWhatToDo(string $form): void
    {
        $source = $this->source($form, ['services' => ['db' => []]]);
        $this->expectException(Unavailable::class);
        $file = preg_quote($this->scratch->path("services.$form"), '{}');
        $this->expectExceptionMessageMatches(
            '{^service "mail" is not known: '.$file.': it does not list this service\. See .* conf\.d$}',
        );
        $source->get('mail');
    }

    /** @dataProvider forms */
    public function testAMissingFileIsSaid(string $form): void
    {
        $source = $this->source($form, []);
        unlink($this->scratch->path("services.$form"));
        $this->expectExceptionMessage('there is no such file');
        $source->get('db');
    }

    public function testAFileOfSomethingElseIsSaid(): void
    {
        $file = $this->scratch->write('services.php', "<?php return 'what';");
        $this->expectExceptionMessage('it is not what waypost writes');
        (new PhpFileSource($file))->get('db');
    }

    /** @dataProvider forms */
    public function testTheAgeIsThatOfTheMarkerBesideTheFile(string $form): void
    {
        $source = $this->source($form, ['services' => ['db' => []]]);
        self::assertNull($source->age(), 'nobody has said so far');
        touch($this->scratch->path(".services.$form.seen"), time() - 100);
        self::assertEqualsWithDelta(100, $source->age(), 5);
        touch($this->scratch->path(".services.$form.seen"), time() + 3600);
        self::assertSame(0.0, $source->age(), 'a clock that was set back makes nothing younger than new');
    }

    /** @dataProvider forms */
    public function testT9HostileValuesComeBackByteForByte(string $form): void
    {
        $hostile = "a'); system(\$x); // \\' \\\\ \${y} {\$z} ?> <?php \" \n\r\t \\n grün \u{1F418} \\";
        $record = FakeSource::record(1, ['id' => $hostile, 'meta' => [$hostile => $hostile, 'password' => "\\'"]]);
        $found = $this->source($form, ['services' => [$hostile => [$record]]])->get($hostile)->pick();
        self::assertSame($hostile, $found->id);
        self::assertSame([$hostile => $hostile, 'password' => "\\'"], $found->meta);
    }
}
