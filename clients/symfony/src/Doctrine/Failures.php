<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

/**
 * Who has failed in one operation, and why.
 *
 * @internal
 */
final class Failures
{
    /** @var array<string, array{Target, \Throwable}> by the target's key */
    private array $failed = [];

    /**
     * @param \Throwable|null $last why there is an operation at all, as far as something had failed before
     */
    public function __construct(private ?\Throwable $last = null)
    {
    }

    public function add(Target $target, \Throwable $why): void
    {
        $this->failed[$target->key()] = [$target, $why];
        $this->last = $why;
    }

    public function of(Target $target): ?\Throwable
    {
        return $this->failed[$target->key()][1] ?? null;
    }

    /** @return list<string> */
    public function addresses(): array
    {
        return array_map(static fn (array $one): string => $one[0]->address, array_values($this->failed));
    }

    /** Time has passed: each may be tried again. */
    public function forgive(): void
    {
        $this->failed = [];
    }

    public function last(): \Throwable
    {
        return $this->last ?? new \LogicException('there was no attempt');
    }
}
