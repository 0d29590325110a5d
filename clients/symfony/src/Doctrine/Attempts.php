<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

/**
 * How often something may still be tried, and for how long: one for each operation of the application.
 *
 * @internal
 */
final class Attempts
{
    /** No pause is longer by plan than this, or it would outlast what it waits for. */
    private const LONGEST = 0.5;

    private int $begun = 0;

    private int $pauses = 0;

    private bool $isLate = false;

    private readonly float $end;

    /** Times are in seconds; `pause` is the first one. */
    public function __construct(private readonly int $most, float $budget, private readonly float $pause)
    {
        $this->end = $this->now() + $budget;
    }

    /**
     * Counts one; false if there is none left.
     *
     * One may begin when time is up: an address that did not answer took all of it, and there is a new one
     * now.
     */
    public function begin(): bool
    {
        if ($this->begun >= $this->most || $this->isLate) {
            return false;
        }
        $this->isLate = $this->now() >= $this->end;
        ++$this->begun;

        return true;
    }

    /**
     * Sleeps, twice as long each time, and up to half as much again by chance; false if that would take too
     * long.
     */
    public function pause(): bool
    {
        $pause = min(self::LONGEST, $this->pause * 2 ** $this->pauses);
        $pause += $pause * random_int(0, 500) / 1000;
        if ($this->begun >= $this->most || $this->now() + $pause >= $this->end) {
            return false;
        }
        ++$this->pauses;
        $this->sleep($pause);

        return true;
    }

    private function now(): float
    {
        return hrtime(true) / 1e9;
    }

    private function sleep(float $seconds): void
    {
        usleep((int) ($seconds * 1_000_000));
    }
}
