<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Console;

use Illuminate\Console\Command;
use Illuminate\Database\QueryException;
use Tradefleet\Laravel\Doctor\Finding;
use Tradefleet\Laravel\Exceptions\NotConfigured;
use Tradefleet\Laravel\Status;

final class StatusCommand extends Command
{
    protected $signature = 'fleet:status';

    protected $description = 'What the fleet is doing: lag, parked events, outbox, requests, books';

    public function handle(Status $status): int
    {
        try {
            $this->show($status);
        } catch (QueryException|NotConfigured $failure) {
            $this->error(Finding::reason($failure));
            $this->line('`php artisan fleet:doctor` says what is missing.');

            return self::FAILURE;
        }

        return self::SUCCESS;
    }

    private function show(Status $status): void
    {
        $this->table(
            ['consumer', 'stream', 'partitions', 'lag', 'oldest unread', 'halted'],
            array_map(static fn (array $row): array => [
                $row['consumer'], $row['stream'], $row['partitions'], $row['lag'], self::age($row['oldest_ms']),
                $row['halted'] === [] ? '' : implode('; ', $row['halted']),
            ], $status->streams()),
        );
        $parked = $status->parked();
        $this->line('parked: '.($parked === [] ? 'nothing' : self::counts($parked).'   (fleet parked list)'));
        $outbox = $status->outbox();
        $this->line("outbox: {$outbox['waiting']} waiting, {$outbox['unconfirmed']} unconfirmed");
        $requests = $status->requests();
        $this->line('requests of the last day: '.($requests === [] ? 'none' : self::counts($requests)));
        $books = $status->books();
        $closed = $books['closed_day'] === null ? 'no day is closed yet' : "closed through {$books['closed_day']}";
        $this->line("books: {$closed}, {$books['open_breaks']} open breaks");
    }

    /** @param  array<string, int>  $counts */
    private static function counts(array $counts): string
    {
        return implode(', ', array_map(
            static fn (string $name, int $count): string => "{$name} {$count}",
            array_keys($counts),
            $counts,
        ));
    }

    private static function age(int $milliseconds): string
    {
        return $milliseconds === 0 ? '' : sprintf('%.1f s', $milliseconds / 1000);
    }
}
