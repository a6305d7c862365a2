"""The demo's jobs, both ways: Laravel's that Python runs, and Python's that a `queue:work` runs."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import control_client
from workers import dispatches

FLEET = "App\\Jobs\\Fleet\\"
CLOSED = b" is closed for "
"""What Laravel's listener says of a DayClosed."""
EXPORT = "storage/framework/cache/fleet.laravel.json"
WAIT_SECONDS = 60
LOOK_SECONDS = 0.2
STOP_SECONDS = 20


class Guests(NamedTuple):
    """Jobs dispatched and jobs that ran, each way. told: the last words of Laravel's listener.

    Those that the fleet dispatched by itself meanwhile (DayRestated and the like) are left out.
    """

    to_python: int
    ran_by_python: int
    to_laravel: int
    ran_by_laravel: int
    told: str

    @property
    def all_ran(self) -> bool:
        return self.to_python == self.ran_by_python and self.to_laravel == self.ran_by_laravel


def artisan(desk: Mapping[str, str], *words: str, given: str = "") -> str:
    """Laravel's command line. Raises SystemExit with what it said."""
    done = subprocess.run(
        [desk["SERVERS_PHP"], "artisan", *words],
        input=given, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"artisan {words[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def export(desk: Mapping[str, str]) -> None:
    """`fleet:export`, and its values into our environment, which the fleet's processes inherit."""
    artisan(desk, "fleet:export", f"--path={EXPORT}")
    file = Path(f"{desk['SERVERS_ROOT']}{desk['SERVERS_PHP_APP']}") / EXPORT
    values = json.loads(file.read_text())["values"]
    os.environ["FLEET_LARAVEL_JOBS"] = values["FLEET_LARAVEL_JOBS"]


@contextmanager
def queue_work(desk: Mapping[str, str]) -> Iterator[None]:
    """A worker of Laravel's for the fleet's events."""
    words = ["queue:work", "redis", "--queue=fleet-events,default", "--quiet", "--sleep=0.2"]
    process = subprocess.Popen([desk["SERVERS_PHP"], "artisan", *words])
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def both_ways(settings: Settings, desk: Mapping[str, str], accounts: Sequence[int]) -> Guests:
    """Dispatch jobs each way and wait until they have run, or for a minute."""
    jobs: list[Any] = [[f"{FLEET}SyncAccount", [account]] for account in accounts]
    jobs += [[f"{FLEET}RebuildPnl", [account, "2026-01-01"]] for account in accounts]
    jobs += [[f"{FLEET}ReplayParked", ["orders", str(account)]] for account in accounts]
    artisan(desk, "desk:dispatch", f"--jobs={json.dumps(jobs)}")
    with (
        closing(connect(settings.mysql)) as connection,
        closing(control_client(settings.redis, "fleet-demo")) as redis,
    ):
        heard = f"{settings.prefix}desk:told"
        before: Any = redis.llen(heard)
        sent = sum(_close(connection, settings, day) for day in _days(connection))
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            ran = _ran(connection)
            words: Any = redis.lrange(heard, before, -1)
            told = [word.decode() for word in words if CLOSED in word]
            found = Guests(len(jobs), ran, sent, min(len(told), sent), told[-1] if told else "")
            if found.all_ran or time.monotonic() > deadline:
                return found
            time.sleep(LOOK_SECONDS)


def _days(connection: Any) -> list[date]:
    cursor = connection.cursor()
    cursor.execute("SELECT DISTINCT day FROM fleet_pnl_daily ORDER BY day")
    return [day for (day,) in cursor.fetchall()]


def _close(connection: Any, settings: Settings, day: date) -> int:
    cursor = connection.cursor()
    cursor.execute(
        "SELECT DISTINCT account_id FROM fleet_pnl_daily WHERE day = %s ORDER BY account_id", (day,)
    )
    accounts = [account for (account,) in cursor.fetchall()]
    sent = dispatches.day_closed(connection, settings, day, accounts)
    connection.commit()
    return len(sent)


def _ran(connection: Any) -> int:
    cursor = connection.cursor()
    cursor.execute("SELECT COUNT(*) FROM fleet_requests")
    (count,) = cursor.fetchone()
    connection.commit()
    return int(count)
