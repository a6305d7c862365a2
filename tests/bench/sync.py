"""The exchange sync against the local exchange: budget, freshness, CPU, memory."""

from __future__ import annotations

import json
import subprocess
import time
from collections import defaultdict
from contextlib import closing
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from shared.exchanges.binance_usdm import BINANCE_USDM
from tests.bench.exchange_desk import ExchangeDesk, add_accounts, exchange_desk, link_accounts
from tests.bench.figures import Figure, at_least, ratio_of
from tests.bench.place import Place
from workers.sync import store

SCALE = 20
THREADS = 16
LIMIT_EACH = 2_400  # weight a window, of the venue
FILLS = 10  # of an account, in the minutes before it is asked
PATHS = {
    "/fapi/v3/positionRisk": "positions",
    "/fapi/v3/account": "balances",
    "/fapi/v3/balance": "balances",
    "/fapi/v1/income": "cash",
    "/fapi/v1/userTrades": "fills",
    "/fapi/v1/openOrders": "orders",
    "/sapi/v1/account/apiRestrictions": "permissions",
}


class Cycle(NamedTuple):
    """share: of the venue's whole budget, in full windows. refused: answers 429 and 418.

    fresh_ms: between two complete runs of an account, 99th percentile. weight: of one run.
    """

    share: float
    refused: int
    fresh_ms: float
    weight: float
    accounts_per_second: float


def budget(place: Place, *, accounts: int, seconds: float) -> tuple[Figure, Figure]:
    """Share of the budget used, and freshness against what the budget allows."""
    cycle = _cycle(place, accounts, seconds)
    kept = float(place.settings.order_share)
    window_s = BINANCE_USDM.weights.window_ms / SCALE / 1000
    bound_s = accounts * cycle.weight / (LIMIT_EACH * (1 - kept) / window_s)
    notes = (
        f"{accounts:,} accounts of Binance futures, windows {SCALE} times shorter, "
        f"{kept:.0%} kept for orders, {cycle.weight:.0f} weight a run"
    )
    used = Figure(
        "sync: share of the venue's budget used, without one 429",
        ">= 80 %",
        f"{cycle.share:.1%}, {cycle.refused} refusals",
        cycle.share >= 0.8 and not cycle.refused,
        notes,
    )
    ratio = cycle.fresh_ms / 1000 / bound_s
    fresh = Figure(
        "sync: freshness p99 against the bound that the budget allows",
        "<= 1.3",
        f"{ratio:.2f}; {cycle.fresh_ms / 1000:.0f} s against {bound_s:.0f} s",
        ratio <= 1.3,
        notes,
    )
    return used, fresh


def _cycle(place: Place, accounts: int, seconds: float) -> Cycle:
    place.empty()
    numbers = range(1, accounts + 1)
    with exchange_desk(place, scale=SCALE) as desk:
        _prepare(place, desk, numbers)
        node = _node(place, desk, SCALE, seconds, THREADS)
        seen = _watch(place, desk, accounts, seconds)
        found = place.result(node)
        statistics = desk.do("statistics")
    return _judged(seen, statistics, found)


def _prepare(place: Place, desk: ExchangeDesk, numbers: range) -> None:
    add_accounts(desk, numbers)
    for number in numbers:
        _trade(desk, number)
    link_accounts(place, numbers)


def _trade(desk: ExchangeDesk, number: int, repeat: int = 1) -> None:
    desk.do("trade", venue="binance", api_key=f"key-{number}", product="linear", symbol="BTCUSDT",
            side="buy", qty="0.01", price="60000", repeat=repeat)  # fmt: skip


def _node(
    place: Place, desk: ExchangeDesk, scale: int, seconds: float, threads: int
) -> subprocess.Popen[str]:
    arguments = ["-m", "tests.bench.sync_node", str(scale), str(seconds), str(threads)]
    return place.start(arguments, FLEET_EXCHANGE_URL=desk.url)


def _watch(
    place: Place, desk: ExchangeDesk, accounts: int, seconds: float
) -> dict[int, list[datetime]]:
    """When each account was read whole, while some of them trade. From the third cycle on: at first
    there is more to ask, what a key may do and all open orders.
    """
    seen: dict[int, list[datetime]] = defaultdict(list)
    read: dict[int, set[datetime]] = defaultdict(set)
    with closing(place.mysql()) as connection:
        cursor = connection.cursor()
        ends = time.monotonic() + seconds
        warm = False
        number = 0
        while time.monotonic() < ends:
            cursor.execute("SELECT account_id, ran_at FROM fleet_sync_accounts WHERE ran_at > 0")
            for account, ran_at in cursor.fetchall():
                if not seen[account] or seen[account][-1] != ran_at:
                    seen[account].append(ran_at)
                if not warm:
                    read[account].add(ran_at)
            connection.commit()
            if not warm and sum(len(times) > 1 for times in read.values()) == accounts:
                warm = True
                seen.clear()
                desk.do("forget_statistics")
            number += 1
            desk.do("storm", seed=number, trades=2)
            time.sleep(0.5)
    return seen


def _judged(
    seen: dict[int, list[datetime]], statistics: dict[str, Any], found: dict[str, Any]
) -> Cycle:
    windows = next(
        used for name, used in statistics["windows"].items() if name.startswith("binance")
    )
    full = [used for _, used in sorted((int(at), used) for at, used in windows.items())][1:-1]
    gaps = sorted(
        (later - earlier).total_seconds() * 1000
        for moments in seen.values()
        for earlier, later in pairwise(moments)
    )
    runs = sum(max(len(moments) - 1, 0) for moments in seen.values())
    refused = sum(statistics["refused"].values())
    return Cycle(
        share=sum(full) / (LIMIT_EACH * len(full)),
        refused=refused,
        fresh_ms=gaps[int(len(gaps) * 0.99)] if gaps else float("inf"),
        weight=sum(full) / max(runs, 1),
        accounts_per_second=found["counts"].get("done", 0) / found["seconds"],
    )


# -- CPU -------------------------------------------------------------------------------------------


def cpu(place: Place, *, accounts: int, rounds: int) -> Figure:
    """Accounts per CPU-second, everything included (keys, leases, rows, commit), against a plain
    loop over ccxt that asks the same questions, parses the answers and writes nothing.

    The accounts have traded a little in the last minutes, as accounts of the first tier do: both
    sides get these rows each time, and ours looks whether one of them is new.
    """
    place.empty()
    numbers = range(1, accounts + 1)
    with exchange_desk(place, scale=SCALE * 1000) as desk:
        _prepare(place, desk, numbers)
        _ours(place, desk, accounts)  # links them
        for number in numbers:
            _trade(desk, number, repeat=FILLS)
        _ours(place, desk, accounts)  # and finds what they traded
        _applied(place)
        # In turns, and each pair with the same calls: fills are not due in every run.
        pairs = []
        for _ in range(rounds):
            rate, calls = _ours(place, desk, accounts)
            pairs.append((rate, _peers(place, desk, accounts, calls)))
    return at_least(
        "sync: accounts per CPU-second against a plain loop over ccxt", 3.0, ratio_of(pairs),
        "accounts/s",
        f"{accounts} accounts of Binance futures, the same requests",
    )  # fmt: skip


def _applied(place: Place) -> None:
    """No ledger runs here: its part is to say that everything found is in the books."""
    with closing(place.mysql()) as connection:
        connection.cursor().execute("UPDATE fleet_outbox SET state = 2")
        connection.commit()
        store.confirm(connection)


def _ours(place: Place, desk: ExchangeDesk, accounts: int) -> tuple[float, dict[str, int]]:
    """(accounts per CPU-second, requests of all accounts by kind)."""
    with closing(place.mysql()) as connection:
        for table in ("fleet_sync_accounts", "fleet_syncs"):
            connection.cursor().execute(f"UPDATE {table} SET due_at = UTC_TIMESTAMP(6)")  # noqa: S608
        connection.commit()
    desk.do("forget_statistics")
    found = place.result(_node(place, desk, SCALE * 1000, 0, THREADS))
    done = found["counts"].get("done", 0)
    if done < accounts:
        raise RuntimeError(f"only {found['counts']} of {accounts} accounts were read")
    asked: dict[str, int] = defaultdict(int)
    for name, times in desk.do("statistics")["requests"].items():
        path = name.split()[1]
        if path in PATHS:
            asked[PATHS[path]] += times
    return done / found["cpu_seconds"], dict(asked)


def _peers(place: Place, desk: ExchangeDesk, accounts: int, calls: dict[str, int]) -> float:
    arguments = ["-m", "tests.bench.ccxt_peer", desk.url, "1", str(accounts), json.dumps(calls)]
    found = place.result(place.start(arguments))
    return float(accounts / found["cpu_seconds"])


# -- memory ----------------------------------------------------------------------------------------


def memory(place: Place, *, few: int, many: int) -> Figure:
    """Resident memory of a worker after it has read `many` accounts instead of `few`."""
    used = {}
    for accounts in (few, many):
        place.empty()
        with exchange_desk(place, scale=SCALE * 1000) as desk:
            _prepare(place, desk, range(1, accounts + 1))
            used[accounts] = place.result(_node(place, desk, SCALE * 1000, 0, 1))["rss_mb"]
    each = (used[many] - used[few]) / (many - few)
    return Figure(
        "sync: memory per additional account",
        "<= 0.5 MiB",
        f"{each:.3f} MiB; {used[few]:.0f} MiB with {few}, {used[many]:.0f} with {many}",
        each <= 0.5,
        "resident after every account was read",
    )
