<?php

declare(strict_types=1);

namespace Waypost\Tests\Doctrine;

use PHPUnit\Framework\TestCase;
use Waypost\Doctrine\Statements;

final class StatementsTest extends TestCase
{
    /** @return iterable<int, array{string}> */
    public static function reads(): iterable
    {
        yield ['SELECT t0.id AS id_1, t0.name AS name_2 FROM node t0 WHERE t0.id = ? LIMIT 1'];
        yield ['select count(*), max(a.b) from t where x in (1, 2) and (y = 1 or exists (select 1))'];
        yield ["\n  (SELECT 1) UNION (SELECT 2);  "];
        yield ['WITH x AS (SELECT 1) SELECT * FROM x'];
        yield ['SHOW TABLES'];
        yield ["SELECT a FROM t WHERE b @> '{}' AND c <@ ? AND d @@ ? AND e @? '$.f'"];
    }

    /** @dataProvider reads */
    public function testAReadMayBeDoneTwice(string $sql): void
    {
        self::assertTrue(Statements::isRead($sql));
        self::assertFalse(Statements::touchesSession($sql));
    }

    /** @return iterable<int, array{string}> */
    public static function noReads(): iterable
    {
        yield ['INSERT INTO t VALUES (1)'];
        yield ['SELECT pay(1)'];
        yield ['SELECT "pay" (1)'];
        yield ['SELECT `app`.`pay`(1)'];
        yield ['SELECT app.pay(1)'];
        yield ['SELECT nextval(\'s\')'];
        yield ['SELECT * INTO other FROM t'];
        yield ['WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone'];
        yield ['SELECT 1; DELETE FROM t'];
        yield ['SELECT LAST_INSERT_ID()'];
        yield ['SELECT @a := 1'];
        yield ['SELECT GET_LOCK(\'a\', 1)'];
        yield ['SELECT a FROM t FOR UPDATE'];
        yield ['CALL pay(1)'];
        yield ['EXPLAIN ANALYZE DELETE FROM t'];
        yield ['/* SELECT */ DELETE FROM t'];
        yield ['SELECT /*! pay(1) */ 1'];
        yield ['SELECT pay/**/(1)'];
        yield ["SELECT pay -- count(\n(1)"];
        yield ['SELECT payé(1)'];
        yield ['SHOW WARNINGS'];
        yield ['SELECT PREVIOUS VALUE FOR s'];
        yield [''];
    }

    /** @dataProvider noReads */
    public function testWhatMayBeMoreThanAReadIsNone(string $sql): void
    {
        self::assertFalse(Statements::isRead($sql));
    }

    public function testOneWriteIsDoneWholeOrNotAtAll(): void
    {
        $whole = ['INSERT INTO t VALUES (?)', 'update t set a = pay(1)', 'CREATE TABLE t (a int)', 'DELETE FROM t;'];
        foreach ($whole as $sql) {
            self::assertTrue(Statements::isAtomic($sql), $sql);
        }
        $others = ['CALL pay(1)', 'DELETE FROM a; DELETE FROM b', 'DO 1', 'BEGIN', 'INSERT INTO t VALUES (@a)'];
        foreach ($others as $sql) {
            self::assertFalse(Statements::isAtomic($sql), $sql);
        }
    }

    public function testWhatLivesInTheSessionBindsIt(): void
    {
        foreach (
            [
                'SET NAMES utf8mb4', 'SET time_zone = "+00:00"', 'BEGIN', 'START TRANSACTION', 'LOCK TABLES t READ',
                'CREATE TEMPORARY TABLE t (a int)', 'create temp table t (a int)', 'PREPARE p AS SELECT 1', 'USE other',
                'LISTEN news', 'DECLARE c CURSOR FOR SELECT 1', 'SELECT pg_advisory_lock(1)', 'SELECT a INTO @b FROM t',
                "SELECT set_config('a', 'b', false)", 'SELECT 1; BEGIN', "INSERT INTO t VALUES (1);\nSET x = 1;",
                'CREATE TABLE pg_temp.t (a int)', 'SELECT a<>@b', 'SELECT @@a', "SELECT @'a'", 'CALL pay(1)',
                'XA START \'x\'', 'HANDLER t OPEN',
            ] as $sql
        ) {
            self::assertTrue(Statements::touchesSession($sql), $sql);
        }
        foreach (['INSERT INTO t VALUES (1)', 'DELETE FROM t;', 'CREATE TABLE t (a int)', 'SELECT 1'] as $sql) {
            self::assertFalse(Statements::touchesSession($sql), $sql);
        }
    }
}
