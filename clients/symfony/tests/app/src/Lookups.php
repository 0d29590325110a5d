<?php

declare(strict_types=1);

namespace Waypost\Tests\App;

use Waypost\Discovery\AgentSocketSource;
use Waypost\Discovery\ApcuSource;
use Waypost\Discovery\JsonFileSource;
use Waypost\Discovery\PhpFileSource;
use Waypost\Discovery\Source;

/** How long a look-up of `db` takes, by each way there is. */
final class Lookups
{
    public function __construct(private readonly Source $source, private readonly string $file)
    {
    }

    /** Nanoseconds of the first look-up in this request, and of one of `more` others on the average. */
    public function measure(string $way, int $more): string
    {
        $look = $this->way($way);
        $begin = hrtime(true);
        $look();
        $first = hrtime(true) - $begin;
        $begin = hrtime(true);
        for ($i = 0; $i < $more; ++$i) {
            $look();
        }

        return $first.' '.($more === 0 ? 0 : intdiv(hrtime(true) - $begin, $more));
    }

    private function way(string $name): \Closure
    {
        $of = static fn (Source $source): \Closure => static fn () => $source->get('db')->first();

        return match ($name) {
            'include' => fn () => (include $this->file)['services']['db'][0]['port'],
            'file' => $of(new PhpFileSource($this->file)),
            'source' => $of($this->source),
            'apcu' => $of(new ApcuSource(new PhpFileSource($this->file), 3600, 'lookups')),
            'json' => $of(new JsonFileSource(preg_replace('/php$/', 'json', $this->file))),
            'socket' => $of(new AgentSocketSource(Kernel::variable('WAYPOST_SOCKET'))),
        };
    }
}
