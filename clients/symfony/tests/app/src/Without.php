<?php

declare(strict_types=1);

namespace Waypost\Tests\App;

use Doctrine\DBAL\Connection;
use Doctrine\DBAL\DriverManager;

/**
 * What an application does without the bundle: it asks the registry itself, through etcd's JSON gateway,
 * keeps the answer for some seconds, and catches what goes wrong where it makes the connection object.
 * Nothing connects there.
 */
final class Without
{
    private const SECONDS = 5;
    private const ATTEMPTS = 5;

    public static function connection(): Connection
    {
        for ($attempt = 1; ; ++$attempt) {
            try {
                return DriverManager::getConnection(self::record() + Kernel::parameters());
            } catch (\Exception $why) {
                apcu_delete('without.db');
                if ($attempt === self::ATTEMPTS) {
                    throw $why;
                }
                usleep(100_000);
            }
        }
    }

    /** The port of who answers, by a statement that only reads; with the bundle it may be repeated. */
    public static function port(Connection $database): string
    {
        return (string) $database->fetchOne(str_contains(Kernel::parameters()['driver'], 'pgsql')
            ? "SELECT setting FROM pg_settings WHERE name = 'port'"
            : "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'PORT'");
    }

    /** @return array{host: string, port: int, user?: string, password?: string, dbname?: string} */
    private static function record(): array
    {
        $kept = apcu_fetch('without.db', $isKept);
        if ($isKept) {
            return $kept;
        }
        $question = ['key' => base64_encode('/services/db/'), 'range_end' => base64_encode('/services/db0')];
        $options = ['method' => 'POST', 'timeout' => 1, 'header' => 'Content-Type: application/json'];
        $context = stream_context_create(['http' => $options + ['content' => json_encode($question)]]);
        $answer = @file_get_contents(Kernel::variable('ETCD_URL').'/v3/kv/range', false, $context);
        $value = json_decode((string) $answer, true)['kvs'][0]['value'] ?? throw new \RuntimeException('no database');
        $found = json_decode((string) base64_decode($value, true), true);
        [$host, $port] = explode(':', is_array($found) ? $found['address'] : (string) base64_decode($value, true));
        $record = ['host' => $host, 'port' => (int) $port];
        if (is_array($found)) {
            $record += array_intersect_key($found['meta'] ?? $found, ['user' => 1, 'password' => 1, 'dbname' => 1]);
        }
        apcu_store('without.db', $record, self::SECONDS);

        return $record;
    }
}
