<?php

declare(strict_types=1);

namespace App\Console\Commands;

use App\Models\ExchangeAccount;
use App\Models\User;
use Illuminate\Console\Command;
use Illuminate\Support\Facades\DB;

class DeskAccounts extends Command
{
    private const CHUNK = 500;

    protected $signature = 'desk:accounts {count : accounts 1..count will exist}
        {--venue=binance,bybit,okx : venues, taken in turn}
        {--product=linear : products, taken in turn}
        {--fresh : first remove those there are}';

    protected $description = 'Users and exchange accounts of a demo desk; those that exist stay as they are';

    public function handle(): int
    {
        $count = (int) $this->argument('count');
        $created = 0;
        if ($this->option('fresh')) {
            ExchangeAccount::query()->delete();
        }
        for ($first = 1; $first <= $count; $first += self::CHUNK) {
            $last = min($count, $first + self::CHUNK - 1);
            $created += DB::transaction(fn (): int => $this->seed($first, $last));
        }
        $this->line(json_encode(['accounts' => $count, 'created' => $created], JSON_THROW_ON_ERROR));

        return self::SUCCESS;
    }

    private function seed(int $first, int $last): int
    {
        $present = ExchangeAccount::whereBetween('id', [$first, $last])->pluck('id')->all();
        $missing = array_diff(range($first, $last), $present);
        foreach ($missing as $id) {
            User::firstOrCreate(['id' => $id], ['name' => "Trader {$id}", 'email' => "trader{$id}@desk.test"]);
            ExchangeAccount::create($this->account($id));
        }

        return count($missing);
    }

    /** @return array<string, mixed> */
    private function account(int $id): array
    {
        $venues = explode(',', (string) $this->option('venue'));
        $products = explode(',', (string) $this->option('product'));
        $venue = $venues[($id - 1) % count($venues)];

        return [
            'id' => $id,
            'user_id' => $id,
            'venue' => $venue,
            'product' => $products[($id - 1) % count($products)],
            'api_key' => "desk-key-{$id}",
            'api_secret' => "desk-secret-{$id}",
            'passphrase' => $venue === 'okx' ? "desk-passphrase-{$id}" : null,
            'settings' => ['sandbox' => true],
            'active' => true,
        ];
    }
}
