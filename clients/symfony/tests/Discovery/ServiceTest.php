<?php

declare(strict_types=1);

namespace Waypost\Tests\Discovery;

use PHPUnit\Framework\TestCase;
use Waypost\Discovery\Instance;
use Waypost\Discovery\NoInstance;
use Waypost\Discovery\Service;
use Waypost\Doctrine\Target;
use Waypost\Tests\FakeSource;

final class ServiceTest extends TestCase
{
    private static function service(array ...$instances): Service
    {
        return new Service('db', array_map(
            static fn (array $more, int $at): array => FakeSource::record(3306 + $at, $more),
            $instances,
            array_keys($instances),
        ));
    }

    public function testAnInstanceInTheRoleIsPicked(): void
    {
        $service = self::service(['role' => 'replica'], ['role' => 'primary'], ['role' => null]);
        self::assertSame(3307, $service->pick('primary')->port);
        self::assertSame(['127.0.0.1:3306'], $service->addresses('replica'));
    }

    public function testWhereNobodyTellsARoleEverybodyPlaysIt(): void
    {
        self::assertCount(2, self::service([], [])->candidates('primary'));
    }

    public function testAMissingRoleIsSaidWithTheService(): void
    {
        $this->expectException(NoInstance::class);
        $this->expectExceptionMessage('service "db": none of 1 instance(s) has the role "primary"');
        self::service(['role' => 'replica'])->pick('primary');
    }

    public function testAnInstanceWithoutWeightGetsNoNewWork(): void
    {
        $service = self::service(['weight' => 0], []);
        self::assertSame(['127.0.0.1:3307'], $service->addresses());
        self::assertSame(3307, $service->first()->port);
        self::assertCount(2, $service, 'it is there all the same');
    }

    public function testTheOwnZoneGoesFirstUntilItFails(): void
    {
        $service = self::service(['zone' => 'a'], ['zone' => 'b']);
        self::assertSame(3307, $service->pick(null, 'b')->port);
        self::assertSame(3306, $service->pick(null, 'b', ['127.0.0.1:3307'])->port);
        self::assertSame(3307, $service->pick(null, 'b', ['127.0.0.1:3306', '127.0.0.1:3307'])->port);
        self::assertContains($service->pick(null, 'c')->port, [3306, 3307]);
    }

    public function testWorkIsSharedByWeight(): void
    {
        $service = self::service(['weight' => 9], ['weight' => 1]);
        $ports = array_map(static fn (): int => $service->pick()->port, range(1, 2000));
        // 200 are expected, with a standard deviation of 13.
        $second = array_count_values($ports)[3307] ?? 0;
        self::assertGreaterThan(100, $second);
        self::assertLessThan(300, $second);
    }

    public function testAUrlHasWhatIsKnownInItsOwnQuoting(): void
    {
        $meta = ['user' => 'a@b', 'password' => 'p/:#', 'dbname' => 'app'];
        $instance = Instance::of(FakeSource::record(3306, ['meta' => $meta]));
        self::assertSame('mysql://a%40b:p%2F%3A%23@127.0.0.1:3306/app', $instance->url('mysql'));
        self::assertSame('tcp://127.0.0.1:3306', Instance::of(FakeSource::record(3306))->url());
    }

    public function testADumpShowsTheNamesOfWhatMayBeSecretOnly(): void
    {
        $service = self::service(['meta' => ['password' => 'geheim']]);
        ob_start();
        var_dump($service->pick(), $service, Target::of('db', $service->pick()));
        $dump = (string) ob_get_clean();
        self::assertStringContainsString('password', $dump);
        self::assertStringNotContainsString('geheim', $dump);
    }

    public function testAnArrayOfAnInstanceKeepsItsAddress(): void
    {
        $record = FakeSource::record(3306, ['meta' => ['host' => 'elsewhere', 'user' => 'app']]);
        $all = Instance::of($record)->toArray();
        self::assertSame(['127.0.0.1', 'app'], [$all['host'], $all['user']]);
    }
}
