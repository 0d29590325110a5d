<?php

declare(strict_types=1);

namespace Waypost\Tests\Discovery;

use PHPUnit\Framework\TestCase;
use Waypost\Discovery\ApcuSource;
use Waypost\Discovery\ChainSource;
use Waypost\Discovery\PhpFileSource;
use Waypost\Discovery\Unavailable;
use Waypost\Tests\FakeSource;
use Waypost\Tests\Scratch;

final class ChainTest extends TestCase
{
    public function testTheFileAnswersAsARule(): void
    {
        [$file, $agent] = [FakeSource::ports(1), FakeSource::ports(2)];
        self::assertSame(1, (new ChainSource($file, $agent))->get('db')->pick()->port);
        self::assertSame([[false], []], [$file->asked, $agent->asked]);
    }

    public function testAFreshAnswerIsTheAgents(): void
    {
        [$file, $agent] = [FakeSource::ports(1), FakeSource::ports(2)];
        self::assertSame(2, (new ChainSource($file, $agent))->get('db', true)->pick()->port);
        self::assertSame([[], [true]], [$file->asked, $agent->asked]);
    }

    public function testTheFileAnswersAfterAnAgentThatDoesNot(): void
    {
        [$file, $agent] = [FakeSource::ports(1), new FakeSource(null)];
        self::assertSame(1, (new ChainSource($file, $agent))->get('db', true)->pick()->port);
        self::assertSame([true], $file->asked);
    }

    public function testTheAgentAnswersWhereThereIsNoFile(): void
    {
        $chain = new ChainSource(new PhpFileSource('/nowhere/services.php'), FakeSource::ports(2));
        self::assertSame(2, $chain->get('db')->pick()->port);
    }

    public function testWhenNobodyAnswersAnyMoreTheLastAnswerDoes(): void
    {
        $chain = new ChainSource(new FakeSource([FakeSource::record(1)], null), new FakeSource(null));
        self::assertSame(1, $chain->get('db')->pick()->port);
        self::assertSame(1, $chain->get('db')->pick()->port);
        self::assertSame(1, $chain->get('db', true)->pick()->port);
    }

    public function testWhenNobodyEverAnsweredAllSourcesAreNamed(): void
    {
        $this->expectException(Unavailable::class);
        $wanted = '{/nowhere/services\.php: there is no such file; fake: told so\. See that "waypost run"}';
        $this->expectExceptionMessageMatches($wanted);
        $agent = new FakeSource(null);
        (new ChainSource(new PhpFileSource('/nowhere/services.php'), $agent))->get('db');
    }

    public function testWithoutAnAgentTheFileIsFreshAsWell(): void
    {
        $file = FakeSource::ports(1);
        self::assertSame(1, (new ChainSource($file))->get('db', true)->pick()->port);
        self::assertSame([true], $file->asked);
    }

    public function testRecordsAreTheFilesAndTheAgentsWithoutOne(): void
    {
        $agent = FakeSource::ports(2);
        $ports = static fn (ChainSource $chain): array => array_column($chain->records('db'), 'port');
        self::assertSame([1], $ports(new ChainSource(FakeSource::ports(1), $agent)));
        self::assertSame([], $agent->asked);
        self::assertSame([2], $ports(new ChainSource(new PhpFileSource('/nowhere/services.php'), $agent)));
    }

    public function testRecordsServeAsTheyWereWhenNobodyAnswersAnyMore(): void
    {
        $chain = new ChainSource(new FakeSource([FakeSource::record(1)], null), new FakeSource(null));
        self::assertSame([1], array_column($chain->records('db'), 'port'));
        self::assertSame([1], array_column($chain->records('db'), 'port'));
    }

    public function testAProcessThatLivesForLongSeesAFileThatItsOpcacheWouldNot(): void
    {
        $scratch = new Scratch();
        $file = $scratch->services(['db' => [FakeSource::record(1)]]);
        [$one, $other] = [new PhpFileSource($file), new PhpFileSource($file)];
        self::assertSame([1, 1], [$one->get('db')->pick()->port, $other->records('db')[0]['port']]);
        self::assertTrue(opcache_is_script_cached($file), 'run it with opcache.enable_cli=1');
        $scratch->services(['db' => [FakeSource::record(2)]], 'php', 'v2');
        self::assertSame([2, 2], [$one->get('db')->pick()->port, $other->records('db')[0]['port']]);
        $scratch->services(['db' => [FakeSource::record(3)]], 'php', 'v3');
        self::assertSame([3, 3], [$other->records('db')[0]['port'], $one->get('db')->pick()->port]);
    }

    public function testWhatOpcacheHasOfAFileThatIsGoneServes(): void
    {
        $scratch = new Scratch();
        $file = $scratch->services(['db' => [FakeSource::record(1)]]);
        (new PhpFileSource($file))->get('db');
        unlink($file);
        self::assertSame(1, (new PhpFileSource($file))->get('db', true)->pick()->port);
    }

    public function testAFreshLookUpTellsOpcacheOfTheFile(): void
    {
        $scratch = new Scratch();
        $file = $scratch->services(['db' => [FakeSource::record(1)]]);
        $chain = new ChainSource(new PhpFileSource($file), new FakeSource(null));
        self::assertSame(1, $chain->get('db')->pick()->port);
        // The same time of modification: opcache would not see it by itself.
        $before = filemtime($file);
        $scratch->services(['db' => [FakeSource::record(2)]], 'php', 'v2');
        touch($file, $before);
        self::assertSame(2, $chain->get('db', true)->pick()->port);
        self::assertSame(2, $chain->get('db')->pick()->port);
    }

    public function testFreshLookUpsOfAFileThatIsTheSameWasteNothingOfOpcache(): void
    {
        $scratch = new Scratch();
        $file = $scratch->services(['db' => [FakeSource::record(1)]]);
        $source = new PhpFileSource($file);
        $source->get('db');
        $wasted = static fn (): int => opcache_get_status(false)['memory_usage']['wasted_memory'];
        $before = $wasted();
        for ($i = 0; $i < 100; ++$i) {
            $source->get('db', true);
        }
        self::assertSame($before, $wasted());
    }

    public function testApcuAnswersForItsTtl(): void
    {
        $behind = FakeSource::ports(1, 2);
        $source = new ApcuSource($behind, 3600, self::prefix());
        self::assertSame([1, 1], [$source->get('db')->pick()->port, $source->get('db')->pick()->port]);
        self::assertSame([false], $behind->asked);
        self::assertSame('fake', $source->version());
        self::assertLessThan(60, $source->age());
        self::assertSame(2, $source->get('db', true)->pick()->port, 'a fresh answer goes past it');
        self::assertSame(2, $source->get('db')->pick()->port, 'and is kept');
    }

    public function testApcuAsksAgainAfterItsTtl(): void
    {
        $source = new ApcuSource(FakeSource::ports(1, 2), 0, self::prefix());
        self::assertSame([1, 2], [$source->get('db')->pick()->port, $source->get('db')->pick()->port]);
    }

    public function testWhatApcuKeepsOutlivesItsTtlWhileTheSourceFails(): void
    {
        $prefix = self::prefix();
        (new ApcuSource(FakeSource::ports(1), 0, $prefix))->get('db');
        $failing = new FakeSource(null);
        $source = new ApcuSource($failing, 3600, $prefix);
        apcu_store("$prefix:db", ['checked' => 0.0] + apcu_fetch("$prefix:db"));
        self::assertSame(1, $source->get('db')->pick()->port, 'also in another process');
        self::assertSame(1, $source->get('db')->pick()->port);
        self::assertSame([false], $failing->asked, 'and it is not asked at each look-up');
    }

    public function testAClockThatWasSetBackMakesNoAnswerGoodForLonger(): void
    {
        $prefix = self::prefix();
        $source = new ApcuSource(FakeSource::ports(1, 2), 60, $prefix);
        $source->get('db');
        apcu_store("$prefix:db", ['checked' => microtime(true) + 3600] + apcu_fetch("$prefix:db"));
        self::assertSame(2, $source->get('db')->pick()->port);
    }

    public function testWithoutAnyAnswerApcuHasNone(): void
    {
        $this->expectException(Unavailable::class);
        (new ApcuSource(new FakeSource(null), 1, self::prefix()))->get('db');
    }

    private static function prefix(): string
    {
        return 'test-'.bin2hex(random_bytes(8));
    }
}
