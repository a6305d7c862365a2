"""`make demo`: a market that Laravel writes and the fleet books, a second opinion, jobs both ways,
and accounts that trade at an exchange, of which the fleet knows only what it asks.

Everything is private to this checkout's desk: its schema and its streams are emptied first.
DEMO_ONCE=1 stops after the tables and exits 0 only if every figure ties. DEMO_FILLS and
DEMO_ACCOUNTS change the size of the market.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.desk import changes, figures, guest, oracle, trading
from deploy.desk.market import Line, Market, troubled
from shared.dotenv import parse_dotenv
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import control_client
from workers.build import collect_status
from workers.migrate import run_migrate
from workers.roles import ROLES, load_settings
from workers.status import Status

FILLS = 20_000
ACCOUNTS = 50
SEED = 7
DRAIN_SECONDS = 300
LOOK_SECONDS = 0.5
USERS_SHOWN = 10
WIDTH = 160
# A venue that is not synced: Laravel tells all of what they do. Every fifth is spot, see market.py.
MARKET_ACCOUNTS = ("--fresh", "--venue=desk", "--product=linear,linear,linear,linear,spot")
ROOT = Path(__file__).parents[2]
console = Console(soft_wrap=True)


def main() -> int:
    """Exit code: 0 when every figure ties."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    fills = int(os.environ.get("DEMO_FILLS", FILLS))
    accounts = int(os.environ.get("DEMO_ACCOUNTS", ACCOUNTS))
    desk = desk_values()
    settings = load_settings("cli")
    with ExitStack() as ends:
        ends.callback(_stop_servers)
        try:
            there = ends.enter_context(trading.exchange(settings))
            ends.callback(_fleet, "stop")
            return 0 if _run(settings, desk, there, fills, accounts) else 1
        except KeyboardInterrupt:
            _say("Stopping")
            return 130
        finally:
            # A second Ctrl-C must not leave half of it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(
    settings: Settings, desk: dict[str, str], there: trading.Exchange, fills: int, accounts: int
) -> bool:
    _say("Emptying the desk's own schema and streams, then migrating")
    empty(settings, desk)
    run_migrate(load_settings("migrate"), sql=False)
    guest.artisan(desk, "migrate", "--force")
    guest.artisan(desk, "desk:accounts", str(accounts), *MARKET_ACCOUNTS)
    linked = trading.link(desk, connect(settings.mysql), there, after=accounts)
    guest.export(desk)
    settings = load_settings("cli")
    _say(f"Starting the fleet: {', '.join(ROLES)}")
    if _fleet("start") != 0:
        return False
    with guest.queue_work(desk):
        tied = _play(settings, desk, fills, accounts)
        tied = _trade(settings, there, linked) and tied
        tied = _capture(settings, desk, linked[0].id) and tied
        _show_urls(settings)
        if os.environ.get("DEMO_ONCE") != "1":
            _stay()
    return tied


def _fleet(word: str) -> int:
    """`make up` and `make down`, without the servers."""
    command = [sys.executable, "-m", "workers.up", word]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _stop_servers() -> None:
    subprocess.run([sys.executable, "deploy/servers/servers.py", "stop"], cwd=ROOT, check=False)


def desk_values() -> dict[str, str]:
    """What the servers of this desk wrote down."""
    file = Path(os.environ.get("FLEET_ENV_FILE", ".servers.env"))
    return parse_dotenv(file.read_text(), os.environ)


def empty(settings: Settings, desk: dict[str, str]) -> None:
    """Drop and make the desk's schema again; delete its streams and what belongs to them."""
    owner = settings.mysql.model_copy(update={"user": "root"}).model_copy(
        update={"password": type(settings.mysql.password)(desk["SERVERS_DB_ROOT_PASSWORD"])}
    )
    connection = connect(owner, database="")
    cursor = connection.cursor()
    cursor.execute(f"DROP DATABASE IF EXISTS `{settings.mysql.database}`")
    cursor.execute(f"CREATE DATABASE `{settings.mysql.database}` CHARACTER SET utf8mb4")
    connection.close()
    redis = control_client(settings.streams_redis, name="fleet-demo")
    for pattern in ("streams:*", "fleet:*", "queues:*", "desk:*", "*laravel_unique_job:*"):
        keys = list(redis.scan_iter(match=f"{settings.prefix}{pattern}", count=1000))
        for start in range(0, len(keys), 500):
            redis.delete(*keys[start : start + 500])


def _play(settings: Settings, desk: dict[str, str], fills: int, accounts: int) -> bool:
    market = Market(SEED, accounts)
    lines = troubled(list(market.lines(fills)), market, SEED)
    started = time.monotonic()
    _say(
        f"Laravel writes {len(lines):,} events, half through the outbox, half by XADD; "
        "some are late, doubled or corrected"
    )
    feeder = threading.Thread(target=_feed, args=(desk, lines), daemon=True)
    feeder.start()
    status = _watch(settings, feeder, len(lines))
    seconds = time.monotonic() - started
    connection = connect(settings.mysql)
    books = oracle.books([(line.type, line.data) for line in lines])
    found = oracle.differences(connection, books)
    _show_users(connection, books)
    if status is None:
        console.print(f"[red]not drained after {DRAIN_SECONDS} s; `fleet status` says why")
        return False
    for difference in found[:20]:
        console.print(f"[red]{difference}")
    console.print(
        f"[green]{len(books.positions):,} positions and {len(books.daily):,} daily rows tie to the "
        f"last digit[/green]; {len(lines):,} events in {seconds:.1f} s"
        if not found
        else f"[red]{len(found)} figures differ"
    )
    jobs_ran = _show_jobs(settings, desk, [account for account, *_ in books.positions])
    return jobs_ran and not found


def _trade(settings: Settings, there: trading.Exchange, linked: list[trading.Linked]) -> bool:
    """Accounts trade at the exchange; whether our figures are the exchange's in the end."""
    connection = connect(settings.mysql)
    _say(f"{len(linked)} accounts trade at exchanges; the fleet knows what it hears and asks")
    troubles = trading.wait_until_read(connection, linked)
    if not troubles:
        happened = trading.trade(connection, there, linked, SEED)
        truths = {one.id: there.do("truth", **one.name) for one in linked}
        counted = (f"{number:,} x {what}" for what, number in sorted(happened.items()))
        console.print(f"  {' · '.join(counted)}")
        troubles = trading.wait_until_booked(connection, linked, truths)
    for trouble in troubles:
        console.print(f"[red]{trouble}")
    if troubles:
        return False
    compared = [row for one in linked for row in figures.compare(connection, one, truths[one.id])]
    _wide().print(figures.table(compared))
    differing = sum(not row.ties for row in compared)
    console.print(
        f"[red]{differing} of {len(compared)} differ from the exchange's own"
        if differing
        else f"[green]{len(linked)} accounts tie to the exchange's own books[/green]; where it "
        "rounds every fill and we do not, to its rounding"
    )
    reconciled = subprocess.run([sys.executable, "-m", "workers.cli", "reconcile"], check=False)
    return not differing and reconciled.returncode == 0


def _capture(settings: Settings, desk: dict[str, str], account: int) -> bool:
    """Whether both sinks have every change; and how long one takes to get there."""
    _say("Changes of Laravel's and of the fleet's own tables, from MySQL's log to TimescaleDB")
    missing = changes.wait_until_seen(settings)
    if missing:
        console.print(f"[red]{missing}; `fleet cdc status` says why")
        return False
    took = changes.lags_ms(settings, desk, account)
    found = changes.compare(settings)
    _wide().print(changes.table(found))
    console.print(f"from Laravel's commit to TimescaleDB: {changes.described(took)}")
    return changes.verified() and all(one.rows == one.there for one in found)


def _show_jobs(settings: Settings, desk: dict[str, str], accounts: list[int]) -> bool:
    _say("Laravel dispatches jobs that Python runs; Python dispatches jobs that queue:work runs")
    found = guest.both_ways(settings, desk, sorted(set(accounts)))
    colour = "green" if found.all_ran else "red"
    console.print(
        f"[{colour}]Laravel → Python: {found.to_python:,} dispatched, {found.ran_by_python:,} ran\n"
        f"Python → Laravel: {found.to_laravel:,} dispatched, {found.ran_by_laravel:,} ran"
        f"[/{colour}]; the last listener said: {found.told}"
    )
    return found.all_ran


def _feed(desk: dict[str, str], lines: list[Line]) -> None:
    command = [desk["SERVERS_PHP"], "artisan", "desk:feed", "-", "--typed", "--via=mixed"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as php:
        if php.stdin is None:
            raise AssertionError("a pipe was asked for")
        for line in lines:
            php.stdin.write(line.as_json() + "\n")
        php.stdin.close()


def _watch(settings: Settings, feeder: threading.Thread, events: int) -> Status | None:
    """Show progress until everything is booked; None when it takes too long."""
    connection = connect(settings.mysql)
    deadline = time.monotonic() + DRAIN_SECONDS
    before, seen = time.monotonic(), 0
    while time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        status = collect_status(settings)
        booked = _booked(connection)
        now = time.monotonic()
        rate, before, seen = (booked - seen) / (now - before), now, booked
        console.print(
            f"  booked {booked:>7,} of about {events:,} · {rate:>7,.0f}/s · "
            f"lag {status.lag_events:>6,} · "
            f"outbox {status.outbox_waiting + status.outbox_unconfirmed:>6,} · "
            f"restating {status.restating_positions}"
        )
        waiting = status.lag_events + status.outbox_waiting + status.outbox_unconfirmed
        if not feeder.is_alive() and not waiting and not status.restating_positions and booked:
            return status
    return None


def _booked(connection: Any) -> int:
    cursor = connection.cursor()
    cursor.execute("SELECT COALESCE(SUM(entries_read), 0) FROM fleet_offsets")
    total = int(cursor.fetchone()[0])
    connection.commit()
    return total


def _show_users(connection: Any, books: oracle.Books) -> None:
    """P&L by account from MySQL, beside the independent figures."""
    expected: dict[tuple[int, str], int] = defaultdict(int)
    for (account, _, _, _, asset), daily in books.daily.items():
        expected[account, asset] += (
            daily.get("realized", 0) - daily.get("fees", 0) + daily.get("funding", 0)
            + daily.get("other", 0)
        )
    cursor = connection.cursor()
    cursor.execute(
        "SELECT account_id, asset, SUM(realized), SUM(fees), SUM(funding), SUM(other) "
        "FROM fleet_pnl_daily GROUP BY account_id, asset ORDER BY account_id, asset"
    )
    names = ("realized", "fees", "funding", "other", "P&L", "independent", "")
    table = Table("account", "asset", *names)
    shown: set[int] = set()
    for account, asset, realized, fees, funding, other in cursor.fetchall():
        shown.add(account)
        if len(shown) > USERS_SHOWN:
            break
        pnl = realized - fees + funding + other
        second = Decimal(expected[account, asset]).scaleb(-18)
        row = (realized, fees, funding, other, pnl, second)
        table.add_row(
            str(account), asset, *(_short(one) for one in row),
            "ties" if pnl == second else "DIFFERS",
        )
    _wide().print(table)


def _wide() -> Console:
    """A pipe has no width of its own, and a cut figure would prove nothing."""
    return Console(width=None if console.is_terminal else WIDTH)


def _short(amount: Decimal) -> str:
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _show_urls(settings: Settings) -> None:
    _fleet("status")
    console.print("Flower's user and password: .fleet/flower.auth")
    first = settings.metrics_port
    console.print(f"metrics  http://127.0.0.1:{first}/metrics, one port per process from there")
    console.print("status   .venv/bin/fleet status     logs  .fleet/logs/")


def _stay() -> None:
    _say("The fleet stays up. Ctrl-C ends it and leaves nothing running.")
    threading.Event().wait()


def _say(text: str) -> None:
    console.print(f"[bold]{text}")


if __name__ == "__main__":
    sys.exit(main())
