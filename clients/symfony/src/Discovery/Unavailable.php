<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/** Nothing is known about a service. The message says which sources were asked, and what to do. */
final class Unavailable extends \RuntimeException
{
    /**
     * @param list<string> $reasons a line for each source that was asked, which names it and says what is
     *     wrong
     */
    private function __construct(
        public readonly string $service,
        public readonly array $reasons,
        string $advice,
    ) {
        $why = implode('; ', $reasons);
        parent::__construct(sprintf('service "%s" is not known: %s. %s', $service, $why, $advice));
    }

    /** One source that cannot be read, or does not know the service. */
    public static function because(string $service, string $source, string $reason): self
    {
        return self::afterAll($service, [$source.': '.$reason]);
    }

    /** @param list<string> $reasons */
    public static function afterAll(string $service, array $reasons): self
    {
        $advice = 'See that "waypost run" is up and may be read by this user, and that "'.$service
            .'" is among the services of its resource in conf.d';

        return new self($service, $reasons, $advice);
    }
}
