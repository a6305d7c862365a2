<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Console;

use Illuminate\Console\Command;
use RuntimeException;
use Tradefleet\Laravel\Export;

final class ExportCommand extends Command
{
    private const FILE = 'fleet.laravel.json';

    protected $signature = 'fleet:export {--path= : instead of fleet.laravel.json beside .env}';

    protected $description = 'Write down what Laravel made of .env and config, for the fleet; no passwords, no keys';

    public function handle(Export $export): int
    {
        $path = (string) ($this->option('path') ?: $this->laravel->basePath(self::FILE));
        $values = $export->values();
        $flags = JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR;
        try {
            $this->replace($path, json_encode(['format' => Export::FORMAT, 'values' => $values], $flags)."\n");
        } catch (RuntimeException $error) {
            $this->error($error->getMessage());

            return self::FAILURE;
        }
        $count = count($values);
        $this->line("{$count} values are in {$path}. Restart the fleet; export again when .env or config has changed.");

        return self::SUCCESS;
    }

    /** Whole or not at all: the fleet may be reading it. */
    private function replace(string $path, string $text): void
    {
        $aside = $path.'.'.getmypid();
        $isWhole = @file_put_contents($aside, $text) === strlen($text);
        if (! $isWhole || ! @chmod($aside, 0644) || ! @rename($aside, $path)) {
            @unlink($aside);
            throw new RuntimeException(
                "{$path} cannot be written: run this as a user who may write that folder, or name another file with "
                .'--path.'
            );
        }
    }
}
