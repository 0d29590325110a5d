<?php

declare(strict_types=1);

namespace Waypost\Doctrine;

use Doctrine\DBAL\Driver\Connection;
use Doctrine\DBAL\Driver\Exception as DriverException;
use Waypost\Discovery\NoInstance;
use Waypost\Discovery\Source;
use Waypost\Discovery\Unavailable;

/**
 * Connects to whoever is the database now: looks up, tries, and after a failure looks up again, past all
 * caches.
 *
 * A target that has not failed yet is tried at once; the same one again after a pause, if the failure may
 * pass.
 *
 * @internal
 */
final class Dialer
{
    /**
     * @param \Closure(array): Connection          $open   the driver's own connect
     * @param array                                $params DBAL's, which the registry's go before
     * @param \Closure(string, \Throwable): void   $notice what is told of each failure: the address, and why
     */
    public function __construct(
        private readonly Source $source,
        private readonly Settings $settings,
        private readonly \Closure $open,
        #[\SensitiveParameter] private readonly array $params,
        private readonly \Closure $notice,
    ) {
    }

    /** @param int|null $most attempts; null for as many as are configured */
    public function begin(?int $most = null): Attempts
    {
        $most ??= $this->settings->attempts;

        return new Attempts($most, $this->settings->budget, $this->settings->pause);
    }

    /**
     * @param bool            $fresh whether the first look-up already goes past all caches
     * @param \Throwable|null $why   what made it necessary to connect again
     * @param Target|null     $bad   who will not do as things are, because of $why
     *
     * @return array{Connection, Target}
     *
     * @throws \Throwable the last failure, when it cannot pass or there is no attempt left
     */
    public function dial(
        Attempts $attempts,
        bool $fresh = false,
        ?\Throwable $why = null,
        ?Target $bad = null,
    ): array {
        $failed = new Failures($why);
        $bad === null || $failed->add($bad, $why);
        for (;; $fresh = true) {
            try {
                $target = $this->look($fresh, $failed->addresses());
                $why = $failed->of($target);
            } catch (NoInstance $none) {
                // Between the end of one and the announcement of the next.
                [$target, $why] = [null, NotFound::because($none)];
            }
            if ($why !== null) {
                if (Failure::isDenied($why) || !$attempts->pause()) {
                    throw $why;
                }
                $failed->forgive();
                continue;
            }
            if (!$attempts->begin()) {
                throw $failed->last();
            }
            try {
                $timeouts = new Timeouts($this->settings);

                return [$timeouts->open($this->open, $target->over($this->params)), $target];
            } catch (DriverException|\mysqli_sql_exception $error) {
                ($this->notice)($target->address, $error);
                if (!Failure::isAway($error) && !Failure::isDenied($error)) {
                    throw $error;
                }
                $failed->add($target, $error);
            }
        }
    }

    /** True if the registry still names the target, or says nothing. */
    public function isCurrent(Target $target): bool
    {
        // What is cached may be older than what led to the target: another answer is asked for again.
        foreach ([false, true] as $fresh) {
            try {
                $service = $this->source->get($this->settings->service, $fresh);
            } catch (Unavailable) {
                return true;
            }
            $addresses = $service->addresses($this->settings->role);
            if ($addresses === [] || in_array($target->address, $addresses, true)) {
                return true;
            }
        }

        return false;
    }

    /** @param list<string> $avoid */
    private function look(bool $fresh, array $avoid): Target
    {
        try {
            $service = $this->source->get($this->settings->service, $fresh);
        } catch (Unavailable $why) {
            throw NotFound::because($why);
        }

        $instance = $service->pick($this->settings->role, $this->settings->zone, $avoid);

        return Target::of($service->name, $instance);
    }
}
