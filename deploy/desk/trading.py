"""The demo's exchange: a process of its own, and a dozen accounts that trade there by themselves.

Laravel stores their keys as it stores every customer's; nothing of what they do is told to the
fleet, which finds out by listening and by asking.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from deploy.desk.guest import artisan
from shared.settings import Settings
from workers.sync import planner
from workers.sync import status as sync_status

ROOT = Path(__file__).parents[2]
ACCOUNTS = 12
VENUES, PRODUCTS = "binance,binance,bybit,okx", "linear,spot,linear,linear"
DEPOSITS = {"USDT": "250000", "BTC": "5", "ETH": "50", "BNB": "100"}
PIECES, STEPS = 12, 60
PAUSE_SECONDS = 0.5
LOOK_SECONDS = 0.5
LINK_SECONDS, BOOK_SECONDS, STOP_SECONDS = 60, 60, 10
ASK_AGAIN_SECONDS = 5.0

# By hand, on the exchange's own pages: bought, funded, liquidated 5 % below. (symbol, qty, prices)
BY_HAND = {
    "binance": ("BTCUSDT", "0.5", "30000", "28500"),
    "bybit": ("BTCUSDT", "0.5", "64000", "60800"),
    "okx": ("BTC-USDT-SWAP", "50", "64000", "60800"),
}


class Linked(NamedTuple):
    """An account as Laravel's table names it. Its keys follow from its id, see `desk:accounts`."""

    id: int
    venue: str
    product: str

    @property
    def name(self) -> dict[str, str]:
        """As the exchange's control verbs name it."""
        return {"venue": self.venue, "api_key": f"desk-key-{self.id}"}


class Exchange(NamedTuple):
    """url: where it listens. What one may do with it: deploy/exchange/README.md, Control."""

    url: str

    def do(self, verb: str, **arguments: Any) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own process on loopback
            f"{self.url}/_desk/{verb}", json.dumps(arguments).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
            return json.loads(answer.read())


@contextmanager
def exchange(settings: Settings) -> Iterator[Exchange]:
    """Runs on the port of FLEET_EXCHANGE_URL, to which every call to an exchange goes at a desk.

    In a session of its own: Ctrl-C stops the fleet first, and then what it calls.
    """
    url = settings.exchange_url or ""
    port = str(urlsplit(url).port)
    command = [sys.executable, "-m", "deploy.exchange", "--port", port]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        said = process.stdout.readline() if process.stdout else ""
        if not said.startswith("listening on "):
            raise SystemExit(f"the local exchange does not start on {url} (see above)")
        yield Exchange(url)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def link(desk: Mapping[str, str], connection: Any, there: Exchange, after: int) -> list[Linked]:
    """A dozen accounts after the id `after`: Laravel encrypts their keys, the exchange knows them.

    One account of each venue's futures is in hedge mode.
    """
    options = [f"--venue={VENUES}", f"--product={PRODUCTS}"]
    artisan(desk, "desk:accounts", str(after + ACCOUNTS), *options)
    cursor = connection.cursor()
    cursor.execute(
        f"SELECT id, venue, product FROM `{desk['DB_DATABASE']}`.exchange_accounts"  # noqa: S608 - ours
        " WHERE id > %s ORDER BY id",
        (after,),
    )
    linked = [Linked(*row) for row in cursor.fetchall()]
    connection.commit()
    seen: Counter[tuple[str, str]] = Counter()
    for one in linked:
        seen[one.venue, one.product] += 1
        there.do("add_accounts", accounts=[{
            **one.name, "uid": str(700_000 + one.id), "secret": f"desk-secret-{one.id}",
            "passphrase": f"desk-passphrase-{one.id}" if one.venue == "okx" else "",
            "products": [one.product], "wallets": {one.product: DEPOSITS},
            "hedge": one.product != "spot" and seen[one.venue, one.product] == 2,
        }])  # fmt: skip
    return linked


def wait_until_read(connection: Any, linked: Sequence[Linked]) -> list[str]:
    """Until every account was read once, which is where its books begin; else what is wrong."""
    query = "SELECT COUNT(*) FROM fleet_sync_accounts WHERE account_id >= %s AND since_ms > 0"
    ends = time.monotonic() + LINK_SECONDS
    while _one(connection, query, linked[0].id) < len(linked):
        if time.monotonic() > ends:
            return _troubles(connection) or ["not every account was read"]
        time.sleep(LOOK_SECONDS)
    return []


def trade(connection: Any, there: Exchange, linked: Sequence[Linked], seed: int) -> Counter[str]:
    """Trades by hand, and then a storm in pieces, while the fleet asks; what happened, counted."""
    counts = Counter(_by_hand(there, linked))
    for piece in range(PIECES):
        counts.update(there.do("storm", seed=seed + piece, trades=STEPS))
        if piece % 4 == 3:
            planner.ask_all_now(connection)
            connection.commit()
        time.sleep(PAUSE_SECONDS)
    return counts


def _by_hand(there: Exchange, linked: Sequence[Linked]) -> Counter[str]:
    """By the first account of each venue's futures; a transfer by every account."""
    counts: Counter[str] = Counter()
    first = {(one.venue, one.product): one for one in reversed(linked)}
    for venue, (symbol, qty, price, liquidated_at) in BY_HAND.items():
        what = {**first[venue, "linear"].name, "product": "linear", "symbol": symbol}
        there.do("trade", **what, side="buy", qty=qty, price=price)
        there.do("fund", **what, rate="0.0001")
        there.do("trade", **what, side="sell", qty=qty, price=liquidated_at, kind="liquidation")
        counts.update({"trade": 1, "funding": 1, "liquidation": 1})
    for one in linked:
        kind = "deposit" if one.product == "spot" else "transfer_in"
        there.do("move", **one.name, kind=kind, asset="USDT", amount="123.45", product=one.product)
        counts[kind] += 1
    return counts


def wait_until_booked(
    connection: Any, linked: Sequence[Linked], truths: Mapping[int, Any]
) -> list[str]:
    """Asks for a sync until each account's books hold a report of after its last movement.

    A report counts only where nothing moved around it, and is booked after what it was read with.
    """
    newest = "SELECT MAX(watermark_ms) FROM fleet_observed_balances WHERE account_id = %s"
    restating = "SELECT COUNT(*) FROM fleet_positions WHERE restating_from_ms IS NOT NULL"
    waiting = {one.id: truths[one.id]["last_ms"] for one in linked}
    ends, asked = time.monotonic() + BOOK_SECONDS, 0.0
    while time.monotonic() < ends:
        if time.monotonic() - asked > ASK_AGAIN_SECONDS:
            planner.ask_now(connection, list(waiting))
            connection.commit()
            asked = time.monotonic()
        time.sleep(LOOK_SECONDS)
        waiting = {
            account: last_ms for account, last_ms in waiting.items()
            if _one(connection, newest, account) <= last_ms
        }  # fmt: skip
        if not waiting and not _one(connection, restating):
            return []
    late = [f"account {account}: not all of it is booked" for account in waiting]
    return _troubles(connection) + late


def _troubles(connection: Any) -> list[str]:
    connection.commit()
    return [f"account {one.account_id}: {one.error}" for one in sync_status.failing(connection)]


def _one(connection: Any, query: str, *values: object) -> int:
    cursor = connection.cursor()
    cursor.execute(query, values)
    (number,) = cursor.fetchone()
    connection.commit()
    return int(number)
