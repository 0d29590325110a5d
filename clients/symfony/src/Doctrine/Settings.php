<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

/** What one connection asks of discovery. Times are in seconds. */
final class Settings
{
    /**
     * @param string      $service        the database's name in the registry
     * @param string|null $role           which of its instances; null for any; a `replica` may be read-only
     * @param string|null $zone           instances in it are taken before others
     * @param int         $attempts       how often one operation connects at most
     * @param float       $budget         no pause ends, and the same address is not tried again, later than
     *                                    this; one attempt at a new one may still begin
     * @param float       $pause          before the second attempt at the same address; it doubles each time
     * @param int         $connectTimeout of one attempt; libpq makes 2 of 1
     * @param int|null    $readTimeout    MySQL only: how long the server may be silent, at the greeting and
     *                                    in each query; null leaves it to `mysqlnd.net_read_timeout`, a day
     *                                    by default
     * @param bool        $reconnect      whether statements are repeated on a new connection where that is
     *                                    safe
     * @param float       $idle           after so long without a statement the next one looks first whether
     *                                    the connection is alive, and still to the right server
     */
    public function __construct(
        public readonly string $service,
        public readonly ?string $role = null,
        public readonly ?string $zone = null,
        public readonly int $attempts = 5,
        public readonly float $budget = 2.0,
        public readonly float $pause = 0.1,
        public readonly int $connectTimeout = 1,
        public readonly ?int $readTimeout = null,
        public readonly bool $reconnect = true,
        public readonly float $idle = 1.0,
    ) {
    }
}
