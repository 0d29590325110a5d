<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Doctrine\DBAL\Driver;
use Doctrine\DBAL\Driver\Connection as DriverConnection;
use Doctrine\DBAL\Driver\Middleware\AbstractDriverMiddleware;
use Waypost\Discovery\Source;

/**
 * A driver that looks up where it connects to. Nothing is looked up before that.
 *
 * One class for DBAL 3 and 4: their connect() differ in the return type only, and none may become this one.
 *
 * @internal
 */
final class DiscoveryDriver extends AbstractDriverMiddleware
{
    /** @param \Closure(string, \Throwable): void $notice */
    public function __construct(
        Driver $driver,
        private readonly Source $source,
        private readonly Settings $settings,
        private readonly \Closure $notice,
    ) {
        parent::__construct($driver);
    }

    public function connect(#[\SensitiveParameter] array $params): DriverConnection
    {
        $open = fn (#[\SensitiveParameter] array $found): DriverConnection => parent::connect($found);
        $dialer = new Dialer($this->source, $this->settings, $open, $params, $this->notice);
        [$connection, $target] = $dialer->dial($dialer->begin());
        if (!$this->settings->reconnect || self::isAlwaysInTransaction($params)) {
            return $connection;
        }
        $session = new Session($dialer, $connection, $target, $this->settings, $this->notice);

        return Dbal::isAtLeast4() ? new Dbal4Connection($session) : new Dbal3Connection($session);
    }

    /**
     * True if autocommit is switched off by an option, PDO's or in what is sent at first: nobody says BEGIN.
     */
    private static function isAlwaysInTransaction(#[\SensitiveParameter] array $params): bool
    {
        $options = $params['driverOptions'] ?? [];
        $first = array_filter($options, static fn ($value): bool => is_string($value));

        return preg_grep('/autocommit\W*(0|off|false)\b/i', $first) !== []
            || (Timeouts::driver($params) === 'pdo_mysql' && !($options[\PDO::ATTR_AUTOCOMMIT] ?? true));
    }
}
