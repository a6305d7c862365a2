<?php

declare(strict_types=1);

namespace App\Models;

use Illuminate\Database\Eloquent\Model;

class ExchangeAccount extends Model
{
    protected $guarded = [];

    protected $casts = [
        'api_key' => 'encrypted',
        'api_secret' => 'encrypted',
        'passphrase' => 'encrypted',
        'settings' => 'array',
        'active' => 'boolean',
    ];
}
