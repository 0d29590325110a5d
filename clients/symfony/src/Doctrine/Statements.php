<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

/**
 * What the text of a statement lets one say for certain. Everything else is taken for the worst.
 *
 * The text is looked at as it is, literals and comments too: what they hold can only make a statement look
 * worse.
 *
 * @internal
 */
final class Statements
{
    private const WRITES = 'insert|update|delete|replace|merge|truncate';

    /** These leave nothing behind in the session, unless SESSION matches. */
    private const SESSIONLESS = '/^[\s(]*(select|with|show|values|table|explain|describe|desc|'.self::WRITES
        .'|create|alter|drop|analyze|optimize|vacuum|reindex|grant|revoke|comment)\b/i';

    /** MySQL's, and not PostgreSQL's operators: `<@`, `@>`, `@?` and ` @@ `. */
    private const VARIABLE = '(?<![<@])@(?![>?]|@[\s(])';

    /**
     * Temporary tables, variables, locks and settings live in the session; what it last did can be asked for.
     */
    private const SESSION = '/'.self::VARIABLE.'|:=|advisory|\b(temp|temporary|pg_temp'
        .'|set_config|setseed|connection_id|pg_backend_pid'
        .'|get_lock|release_lock|release_all_locks|is_used_lock'
        .'|last_insert_id|found_rows|row_count|currval|lastval|previous\s+value)\b/i';

    /** These ask for what the session last did. */
    private const PAST = '/\b(last_insert_id|found_rows|row_count|currval|lastval|previous\s+value)\b'
        .'|@@\w|^[\s(]*show\b.*\b(warnings|errors)\b/is';

    private const WRITE = '/^[\s(]*(with|select|create|alter|drop|'.self::WRITES.')\b/i';

    private const READ = '/^[\s(]*(select|with|show)\b/i';

    private const NOT_ONLY_READ = '/\b(into|call|'.self::WRITES.')\b/i';

    /** A name before a parenthesis, also a quoted one, or the end of a comment; a keyword is matched too. */
    private const CALL = '/([\w.$\x80-\xff]+|["`\]]|\*\/|--[^\n]*\n|#[^\n]*\n)\s*\(/';

    /** Functions that only compute, and words of SQL that a parenthesis may follow. */
    private const PURE = [
        'abs', 'avg', 'cast', 'ceil', 'ceiling', 'char_length', 'coalesce', 'concat', 'concat_ws', 'convert',
        'count', 'date', 'date_add', 'date_format', 'date_part', 'date_sub', 'date_trunc', 'datediff', 'day',
        'dense_rank', 'extract', 'floor', 'format', 'greatest', 'group_concat', 'hour', 'if', 'ifnull',
        'json_extract', 'least', 'left', 'length', 'lower', 'ltrim', 'max', 'md5', 'min', 'minute', 'mod',
        'month', 'now', 'nullif', 'position', 'power', 'rank', 'replace', 'right', 'round', 'row_number',
        'rtrim', 'second', 'sqrt', 'string_agg', 'substr', 'substring', 'sum', 'timestampdiff', 'to_char',
        'trim', 'upper', 'year',
        'all', 'and', 'any', 'as', 'between', 'by', 'case', 'distinct', 'else', 'except', 'exists', 'filter',
        'from', 'having', 'in', 'intersect', 'join', 'like', 'limit', 'not', 'offset', 'on', 'or', 'over',
        'select', 'some', 'then', 'union', 'using', 'values', 'when', 'where', 'with', 'within',
    ];

    /** True if the statement changes nothing, so that doing it twice is doing it once. */
    public static function isRead(string $sql): bool
    {
        // An error of PCRE, such as for a huge text, is no certainty.
        if (preg_match(self::READ, $sql) !== 1 || preg_match(self::NOT_ONLY_READ, $sql) !== 0) {
            return false;
        }
        $isKnown = preg_match_all(self::CALL, $sql, $calls) !== false
            && array_diff(array_map('strtolower', $calls[1]), self::PURE) === [];

        return $isKnown && !self::touchesSession($sql) && !self::asksForPast($sql);
    }

    /** True if a server that refuses it for being read-only has done no part of it. */
    public static function isAtomic(string $sql): bool
    {
        return preg_match(self::WRITE, $sql) === 1 && !self::touchesSession($sql);
    }

    /**
     * True if the session may be another one after it, which a new connection would not have.
     *
     * So it may be after several statements in one: the first word is that of the first only.
     */
    public static function touchesSession(string $sql): bool
    {
        return preg_match(self::SESSIONLESS, $sql) !== 1 || preg_match(self::SESSION, $sql) !== 0
            || !self::isSingle($sql);
    }

    /** True if the answer is about what the session did before: another one has another, and no error. */
    public static function asksForPast(string $sql): bool
    {
        return preg_match(self::PAST, $sql) !== 0;
    }

    /** A semicolon in a literal counts as well. */
    private static function isSingle(string $sql): bool
    {
        return !str_contains(rtrim($sql, "; \n\r\t"), ';');
    }
}
