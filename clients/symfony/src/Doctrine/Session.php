<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Doctrine\DBAL\Driver\Connection;

/**
 * A connection to whoever is the database, which may become another one between two statements.
 *
 * It becomes another one only while it is free: outside of a transaction, and with nothing in its server-side
 * session that a new one would lack. A statement is repeated on the new one only if it cannot have been done:
 *
 * - A server that is read-only has refused it, and it is one statement that is done whole or not at all.
 * - The connection was lost, and the statement only reads; doing it twice is doing it once.
 * - The connection was lost before the statement was sent: nothing but `prepare` or the begin of a
 *   transaction had been asked, or it had been idle, and a look before the statement found it dead.
 *
 * Every other loss is the application's to judge, as without this class.
 *
 * @internal
 */
final class Session
{
    /** True from the begin of a transaction until its end was asked for, whatever came of that. */
    private bool $inTransaction = false;

    /** True once something was done that lives in the server-side session: that cannot be taken along. */
    private bool $bound = false;

    /** What was wrong with the connection when it could not be replaced: it is before the next use. */
    private ?\Throwable $broken = null;

    private float $lastUsed;

    /** @param \Closure(string, \Throwable): void $notice */
    public function __construct(
        private readonly Dialer $dialer,
        private Connection $connection,
        private Target $target,
        private readonly Settings $settings,
        private readonly \Closure $notice,
    ) {
        $this->lastUsed = microtime(true);
    }

    /** The connection as it is, for what asks nothing of the server. */
    public function connection(): Connection
    {
        return $this->connection;
    }

    /** Hands out what the application may do anything with: this connection stays the only one. */
    public function bind(): Connection
    {
        $this->bound = true;

        return $this->connection;
    }

    /**
     * Does something with a statement, again on another connection if that is safe.
     *
     * @template T
     *
     * @param \Closure(Connection): T $do
     *
     * @return T
     */
    public function run(Repeat $repeat, \Closure $do): mixed
    {
        $this->wake($repeat);
        $attempts = null;
        while (true) {
            try {
                // Beside its exception, mysqlnd warns; a debugging error handler would throw that instead.
                $result = @$do($this->connection);
                $this->lastUsed = microtime(true);

                return $result;
            } catch (\Throwable $error) {
                $readOnly = $this->isUnexpectedlyReadOnly($error);
                if (!$readOnly && !Failure::isLost($error)) {
                    throw $error;
                }
                ($this->notice)($this->target->address, $error);
                // Also if there is nobody to connect to now.
                $this->broken = $readOnly ? null : $error;
                if (!$this->isFree() || !($readOnly ? $repeat->isAtomic() : $repeat->isHarmless())) {
                    $this->broken = $error;
                    throw $error;
                }
                $this->reconnect($error, $attempts ??= $this->dialer->begin());
            }
        }
    }

    /** Does what begins a transaction: whatever became of the old session, nothing was done in it. */
    public function begin(\Closure $do): mixed
    {
        $result = $this->run(Repeat::always(), $do);
        $this->inTransaction = true;

        return $result;
    }

    /** Does what ends a transaction, once. */
    public function end(\Closure $do): mixed
    {
        try {
            return @$do($this->connection);
        } catch (\Throwable $error) {
            if (Failure::isLost($error) || $this->isUnexpectedlyReadOnly($error)) {
                ($this->notice)($this->target->address, $error);
                $this->broken = $error;
            }
            throw $error;
        } finally {
            $this->inTransaction = false;
            $this->lastUsed = microtime(true);
        }
    }

    /** Takes note of what was done, or tried: also what failed may have left something behind. */
    public function note(string $sql): void
    {
        // Savepoints come and go with their transaction.
        $isSavepoint = preg_match('/^\s*(savepoint|release|rollback to)\b/i', $sql) === 1;
        $ofTransaction = $this->inTransaction && $isSavepoint;
        if (!$this->bound && !$ofTransaction && Statements::touchesSession($sql)) {
            $this->bound = true;
        }
    }

    /** A replica refuses what changes something: that is the application's mistake. */
    private function isUnexpectedlyReadOnly(\Throwable $error): bool
    {
        return $this->settings->role !== 'replica' && Failure::isReadOnly($error);
    }

    private function isFree(): bool
    {
        return !$this->inTransaction && !$this->bound;
    }

    /** Sees to a connection that is broken, or was idle for so long that it may be. */
    private function wake(Repeat $repeat): void
    {
        if (!$this->isFree()) {
            return;
        }
        if ($this->broken !== null) {
            $this->reconnect($this->broken, $this->dialer->begin());
        } elseif (microtime(true) - $this->lastUsed >= $this->settings->idle && !$repeat->asksForPast()) {
            if (!$this->dialer->isCurrent($this->target)) {
                $this->follow();
            } elseif (!$repeat->isHarmless() && ($why = $this->whyDead()) !== null) {
                $this->reconnect($why, $this->dialer->begin());
            }
        }
    }

    /** The registry names somebody else; the old server does as long as that one does not answer. */
    private function follow(): void
    {
        try {
            // Once: there is one that may well serve.
            [$connection, $target] = $this->dialer->dial($this->dialer->begin(1), true);
        } catch (\Throwable $why) {
            ($this->notice)($this->target->address, $why);

            return;
        }
        $this->replace($connection, $target);
    }

    private function whyDead(): ?\Throwable
    {
        try {
            @$this->connection->query('SELECT 1')->free();
        } catch (\Throwable $error) {
            // Such as an unbuffered result that is still being read: a live one, then.
            return Failure::isLost($error) ? $error : null;
        }

        return null;
    }

    private function reconnect(\Throwable $why, Attempts $attempts): void
    {
        // Who is gone may be back by now; who is read-only has just said that it still is.
        $bad = Failure::isReadOnly($why) ? $this->target : null;
        $this->replace(...$this->dialer->dial($attempts, true, $why, $bad));
    }

    private function replace(Connection $connection, Target $target): void
    {
        [$this->connection, $this->target, $this->broken] = [$connection, $target, null];
        $this->lastUsed = microtime(true);
    }
}
