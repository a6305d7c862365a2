<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

use Illuminate\Database\Eloquent\Builder;

/**
 * A signal as it was said, one row per revision of the message.
 *
 * @property-read string $source
 * @property-read string $channel_id
 * @property-read string $message_id
 * @property-read int $revision
 * @property-read \Carbon\CarbonImmutable $received_at
 * @property-read string|null $instrument
 * @property-read string|null $side
 * @property-read string|null $intent
 * @property-read string|null $stop
 * @property-read string|null $leverage
 * @property-read string $text
 */
final class Signal extends FleetModel
{
    public const KEY = ['source', 'channel_id', 'message_id', 'revision'];

    public const TABLE = 'fleet_signals';

    protected $casts = [
        'revision' => 'integer',
        'received_at' => UtcDateTime::class,
        'received_at_ms' => 'integer',
        'expires_at_ms' => 'integer',
    ];

    public function scopeOfChannel(Builder $query, string $source, string $channelId): Builder
    {
        return $query->where('source', $source)->where('channel_id', $channelId);
    }
}
