<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/**
 * Keeps another source's answers in memory that a server's processes share.
 *
 * An answer is good for `ttl` seconds, and is kept after that: as long as the source behind fails it goes on
 * being the answer, and the source is asked again once in each `ttl`.
 */
final class ApcuSource implements Source, Forgetful
{
    /** How long an answer outlives its ttl, in seconds. */
    private const LAST_GOOD = 604800;

    /** @var array{at: float, version: ?string, age: ?float}|null what the last answer was */
    private ?array $last = null;

    /**
     * @param string $prefix of its keys in APCu, which all applications of a server share
     *
     * @throws \LogicException where APCu is missing or switched off (in commands: `apc.enable_cli`)
     */
    public function __construct(
        private readonly Source $source,
        private readonly float $ttl = 1.0,
        private readonly string $prefix = 'waypost',
    ) {
        if (!function_exists('apcu_enabled') || !apcu_enabled()) {
            $advice = 'install php-apcu, or set waypost.apcu to false';
            throw new \LogicException('APCu is missing or off here: '.$advice);
        }
    }

    public function get(string $service, bool $fresh = false): Service
    {
        $kept = apcu_fetch($this->key($service));
        $kept = is_array($kept) ? $kept : null;
        // A clock that was set back makes nothing good for longer.
        if (!$fresh && $kept !== null && abs(microtime(true) - $kept['checked']) < $this->ttl) {
            return $this->answer($service, $kept);
        }
        try {
            $found = $this->source->get($service, $fresh);
        } catch (Unavailable $why) {
            return $this->answer($service, $this->keep($service, $kept ?? throw $why));
        }
        $kept = [
            'records' => $found->records(),
            'version' => $this->source->version(),
            'age' => $this->source->age(),
            'at' => microtime(true),
        ];

        return $this->answer($service, $this->keep($service, $kept));
    }

    public function records(string $service): array
    {
        return $this->get($service)->records();
    }

    /** Of the last answer: what its source said then, and the time since. */
    public function age(): ?float
    {
        if ($this->last === null) {
            return $this->source->age();
        }

        return $this->last['age'] === null ? null : $this->last['age'] + microtime(true) - $this->last['at'];
    }

    public function version(): ?string
    {
        return $this->last === null ? $this->source->version() : $this->last['version'];
    }

    public function forget(): void
    {
        if ($this->source instanceof Forgetful) {
            $this->source->forget();
        }
    }

    private function keep(string $service, array $answer): array
    {
        $answer['checked'] = microtime(true);
        apcu_store($this->key($service), $answer, self::LAST_GOOD);

        return $answer;
    }

    private function answer(string $service, array $kept): Service
    {
        $this->last = $kept;

        return new Service($service, $kept['records']);
    }

    private function key(string $service): string
    {
        return $this->prefix.':'.$service;
    }
}
