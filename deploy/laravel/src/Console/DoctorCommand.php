<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Console;

use Illuminate\Console\Command;
use Tradefleet\Laravel\Doctor\Checks;
use Tradefleet\Laravel\Doctor\Finding;
use Tradefleet\Laravel\Doctor\PingPong;
use Tradefleet\Laravel\Exceptions\NotConfigured;
use Tradefleet\Laravel\Transport\RedisSource;

final class DoctorCommand extends Command
{
    protected $signature = 'fleet:doctor {--wait=10 : seconds for a job to go to Python and back}';

    protected $description = 'Check what the fleet needs of this application, then let one job go there and back';

    public function handle(RedisSource $redis, Checks $checks, PingPong $pingPong): int
    {
        try {
            $redis->queue();
        } catch (NotConfigured $refusal) {
            $this->error($refusal->getMessage());

            return self::FAILURE;
        }
        $good = true;
        foreach ($checks->run() as $finding) {
            $good = $this->tell($finding) && $good;
        }
        $good = $this->tell($pingPong->play((int) $this->option('wait'))) && $good;

        return $good ? self::SUCCESS : self::FAILURE;
    }

    private function tell(Finding $finding): bool
    {
        if ($finding->cure === null) {
            $this->line("<info>ok</info>    {$finding->text}");

            return true;
        }
        $this->line("<error>wrong</error> {$finding->text}");
        $this->line("      cure: {$finding->cure}");

        return false;
    }
}
