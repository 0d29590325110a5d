<?php

declare(strict_types=1);

namespace Waypost\Discovery;

/** A source that holds answers which may be behind, and can let go of them. */
interface Forgetful
{
    /** Makes the next look-up read what is there now. */
    public function forget(): void;
}
