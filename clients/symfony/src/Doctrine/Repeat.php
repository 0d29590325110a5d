<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

/**
 * Whether something that went wrong may be done again; looked into only when it did.
 *
 * @internal
 */
final class Repeat
{
    private function __construct(private readonly bool $always, private readonly ?string $sql = null)
    {
    }

    /** What leaves nothing behind that anybody could see. */
    public static function always(): self
    {
        return new self(true);
    }

    /** What does nothing with a statement yet. */
    public static function preparing(string $sql): self
    {
        return new self(true, $sql);
    }

    /** What cannot be asked for again. */
    public static function never(): self
    {
        return new self(false);
    }

    public static function statement(string $sql): self
    {
        return new self(false, $sql);
    }

    /** True if it is all the same whether it was done before. */
    public function isHarmless(): bool
    {
        return $this->always ? !$this->asksForPast() : ($this->sql !== null && Statements::isRead($this->sql));
    }

    /** True if it is about what was done before, and so makes sense on the same connection only. */
    public function asksForPast(): bool
    {
        return $this->sql !== null && Statements::asksForPast($this->sql);
    }

    /** True if a read-only server that refuses it has done nothing of it. */
    public function isAtomic(): bool
    {
        return $this->always || ($this->sql !== null && Statements::isAtomic($this->sql));
    }
}
