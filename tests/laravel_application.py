"""The desk's Laravel application for a test: real PHP, schemas and Redis prefix of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis

SECONDS = 120
BOOT = """
require getcwd().'/bootstrap/autoload.php';
$app = require getcwd().'/bootstrap/app.php';
$app->make(Illuminate\\Contracts\\Console\\Kernel::class)->bootstrap();
function lines() { while (($line = fgets(STDIN)) !== false) { yield json_decode($line, true); } }
function say($what) { echo json_encode($what, JSON_THROW_ON_ERROR), "\\n"; }
/** Class and message of what it throws, or null. */
function refusal(callable $work) {
    try { $work(); } catch (Throwable $e) { return [get_class($e), $e->getMessage()]; }
    return null;
}
"""


@dataclass
class LaravelApplication:
    """environ: what PHP is given over its .env. redis, connection: the administrator's."""

    php_path: str
    environ: Mapping[str, str]
    connection: Any
    redis: Redis
    prefix: str

    def run(self, *words: str, given: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """PHP in the application's folder. more: over the environment."""
        return subprocess.run(
            [self.php_path, *words],
            input=given, text=True, capture_output=True, timeout=SECONDS, check=False,
            env={**self.environ, **more},
        )  # fmt: skip

    def artisan(self, *words: str, given: str = "", **more: str) -> str:
        done = self.run("artisan", *words, given=given, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def php(self, code: str, *lines: object, before: str = "", **more: str) -> list[Any]:
        """Code in the booted application: reads `lines()`, answers with `say()`.

        before: what runs before Laravel does.
        """
        given = "".join(f"{json.dumps(line)}\n" for line in lines)
        options = ("-d", "display_errors=stderr", "-d", "error_reporting=-1")
        done = self.run(*options, "-r", before + BOOT + code, given=given, **more)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    # -- MySQL and Redis -----------------------------------------------------------------------

    @property
    def schema(self) -> str:
        """Laravel's own."""
        return self.environ["DB_DATABASE"]

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What is committed now."""
        self.connection.rollback()
        cursor = self.connection.cursor()
        cursor.execute(sql, values)
        found = list(cursor.fetchall())
        self.connection.commit()
        return found

    def queued(self, queue: str) -> list[dict[str, Any]]:
        """Payloads that wait on a queue."""
        found: Any = self.redis.lrange(f"{self.prefix}queues:{queue}", 0, -1)
        return [json.loads(text) for text in found]

    def take(self, queue: str) -> dict[str, Any]:
        """As a worker: the next payload, off its queue."""
        text: Any = self.redis.lpop(f"{self.prefix}queues:{queue}")
        assert text, f"queue {queue} is empty"
        return dict(json.loads(text))

    def told(self) -> list[str]:
        """What the desk's jobs and callbacks have said, in order."""
        found: Any = self.redis.lrange(f"{self.prefix}desk:told", 0, -1)
        return [word.decode() for word in found]
