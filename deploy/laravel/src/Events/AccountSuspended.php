<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Events;

/** An account is not synced any more, for example because its key was refused. */
final class AccountSuspended
{
    /** @param  string  $reason  one sentence for the account's owner */
    public function __construct(public int $accountId, public string $reason)
    {
    }
}
