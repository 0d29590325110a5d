<?php
/**
 * wp-content/db.php: finds the database when WordPress connects, and again when what it found does not
 * answer.
 *
 * WordPress loads this file by its name, in place of its own connection. A page waits for a database for
 * BUDGET seconds and the round of attempts that is under way then; after that WordPress says that there is
 * none.
 */
class Waypost_Database extends wpdb
{
    /** Seconds for looking and trying again; a move of the database should take less. */
    private const BUDGET = 2.0;

    /** Rounds of attempts within that; in each, every known database is asked once. */
    private const ROUNDS = 8;

    /** Seconds from one round to the next: doubled each time, up to the longest. */
    private const FIRST_PAUSE = 0.05;
    private const LONGEST_PAUSE = 0.5;

    /** Seconds for a connection to come about. */
    private const CONNECT = '1';

    /** Seconds that the server may be silent, at the beginning and in each query; PHP's own limit is a day. */
    private const SILENCE = '5';

    /**
     * What a database says that is not there, not ready or leaving. Time mends nothing else that it says.
     * Source: MariaDB's error codes; from 2000 on they are the client's.
     */
    private const PASSING = [1040, 1053, 1129, 1927, 2002, 2003, 2005, 2006, 2013];

    /** So often wpdb asks when a connection is lost, with a second between; once is enough with our rounds. */
    protected $reconnect_retries = 1;

    public function db_connect($allow_bail = true)
    {
        return $this->connect_within_budget()
            // Says so to the visitor, without WordPress's words about the address, and with status 500.
            || ($allow_bail && $this->bail('Error establishing a database connection', 'db_connect_fail'));
    }

    private function connect_within_budget(): bool
    {
        $end = microtime(true) + self::BUDGET;
        $pause = self::FIRST_PAUSE;
        $tried = [];
        for ($round = 1; $round <= self::ROUNDS && microtime(true) < $end; $round++) {
            $known = $this->known($round > 1);
            if ($known === $tried) {
                // Nothing new to try, so time has to help; not the same for all pages, or they come together.
                if (microtime(true) + $pause >= $end) {
                    return false;
                }
                usleep((int) (1e6 * $pause * (0.5 + lcg_value() / 2)));
                $pause = min(2 * $pause, self::LONGEST_PAUSE);
                $known = $this->known(true);
            }
            foreach ($known as $address) {
                if ($this->attempt($address)) {
                    return true;
                }
                if (!in_array(mysqli_connect_errno(), self::PASSING, true)) {
                    return false;
                }
            }
            $tried = $known;
        }

        return false;
    }

    /** One attempt, which neither a host that drops packets nor one that never speaks can hold up. */
    private function attempt(string $address): bool
    {
        $this->dbhost = $address;
        $limits = ['default_socket_timeout' => self::CONNECT];
        if (PHP_SAPI !== 'cli' && !is_admin()) {
            // Of a command and of wp-admin, queries may take long.
            $limits['mysqlnd.net_read_timeout'] = self::SILENCE;
        }
        $before = [];
        foreach ($limits as $setting => $limit) {
            $before[$setting] = ini_set($setting, $limit);
        }
        try {
            return parent::db_connect(false);
        } finally {
            array_map('ini_set', array_keys($before), $before);
        }
    }

    /** The addresses of databases that take writes, in the registry's order; one of weight 0 is being left. */
    private function known(bool $is_fresh): array
    {
        if ($is_fresh && function_exists('opcache_invalidate')) {
            // Costs next to nothing if the file is still the same.
            opcache_invalidate(WAYPOST_SERVICES);
        }
        $found = (@include WAYPOST_SERVICES)['services']['db'] ?? [];
        $takes_writes = fn (array $instance): bool => $instance['weight'] > 0
            && in_array($instance['role'], [null, 'primary'], true);

        return array_column(array_filter($found, $takes_writes), 'address');
    }
}

$wpdb = new Waypost_Database(DB_USER, DB_PASSWORD, DB_NAME, DB_HOST);
