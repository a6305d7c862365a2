"""After a storm, what Bybit and OKX list explains what they say is held, to the last digit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from deploy.exchange.server import Running, new_exchange

STEPS = 600


@pytest.fixture
def running() -> Iterator[Running]:
    """Limits so short that nobody meets them."""
    with Running(new_exchange(scale=1000)) as server:
        yield server


def stormed(running: Running, venue: str, seed: int) -> dict[str, Any]:
    """The truth after a storm over one account, which takes two days."""
    account = {
        "venue": venue, "uid": "1", "api_key": "key-1", "secret": "s", "passphrase": "p",
        "products": ["linear", "inverse", "spot"],
    }  # fmt: skip
    running.do(lambda desk: desk.add_accounts([account]))
    now = running.do(lambda desk: desk.exchange.now_ms(venue))
    storm = {"venue": venue, "from_ms": now - 2 * 86_400_000, "to_ms": now - 1000}
    running.do(lambda desk: desk.storm(seed, STEPS, **storm))
    found: dict[str, Any] = running.do(lambda desk: desk.truth(venue, "key-1"))
    return found


def exact(amounts: dict[str, str]) -> dict[str, Decimal]:
    return {asset: Decimal(amount) for asset, amount in amounts.items() if Decimal(amount)}


def held(truth: dict[str, Any]) -> dict[str, Decimal]:
    quantities = ((one["symbol"], Decimal(one["qty"])) for one in truth["positions"])
    return {symbol: qty for symbol, qty in quantities if qty}


def summed(rows: list[Any], key: str, amount: str) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[row[key]] += Decimal(row[amount])
    return {name: value for name, value in sums.items() if value}


def bybit_pages(ask: Any, **params: Any) -> list[Any]:
    found, cursor = [], None
    while cursor != "":
        result = ask({**params, **({"cursor": cursor} if cursor else {})})["result"]
        cursor = result["nextPageCursor"]
        found += result["list"]
    return found


def okx_pages(ask: Any, **params: Any) -> list[Any]:
    found: list[Any] = []
    while page := ask({**params, **({"after": found[-1]["billId"]} if found else {})})["data"]:
        found += page
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_bybit(running: Running, connect: Any, seed: int) -> None:
    truth = stormed(running, "bybit", seed)
    client = connect(ccxt.bybit, apiKey="key-1", secret="s")
    now = client.milliseconds()
    week = {"startTime": now - 3 * 86_400_000, "endTime": now}
    log = bybit_pages(client.privateGetV5AccountTransactionLog, limit=50, **week)
    assert len(log) == truth["entries"]
    assert summed(log, "currency", "change") == exact(truth["wallets"]["unified"])
    [answer] = client.privateGetV5AccountWalletBalance({"accountType": "UNIFIED"})["result"]["list"]
    assert summed(answer["coin"], "coin", "walletBalance") == exact(truth["wallets"]["unified"])
    quantities: dict[str, Decimal] = defaultdict(Decimal)
    count = 0
    for category in ("linear", "inverse", "spot"):
        every = bybit_pages(
            client.privateGetV5ExecutionList, category=category, limit=100, **week
        )
        fills = [row for row in every if row["execType"] != "Funding"]
        count += len(fills)
        for row in fills if category != "spot" else []:
            sign = 1 if row["side"] == "Buy" else -1
            quantities[row["symbol"]] += sign * Decimal(row["execQty"])
    assert count == len(truth["fills"])
    assert {symbol: qty for symbol, qty in quantities.items() if qty} == held(truth)


@pytest.mark.parametrize("seed", [1, 2])
def test_okx(running: Running, connect: Any, seed: int) -> None:
    truth = stormed(running, "okx", seed)
    client = connect(ccxt.okx, apiKey="key-1", secret="s", password="p")
    bills = okx_pages(client.privateGetAccountBills)
    assert len(bills) == truth["entries"]
    assert summed(bills, "ccy", "balChg") == exact(truth["wallets"]["unified"])
    [answer] = client.privateGetAccountBalance()["data"]
    assert summed(answer["details"], "ccy", "cashBal") == exact(truth["wallets"]["unified"])
    fills = okx_pages(client.privateGetTradeFills)
    assert len(fills) == len(truth["fills"])
    quantities: dict[str, Decimal] = defaultdict(Decimal)
    for row in fills:
        if row["instType"] == "SWAP":
            sign = 1 if row["side"] == "buy" else -1
            quantities[row["instId"]] += sign * Decimal(row["fillSz"])
    assert {symbol: qty for symbol, qty in quantities.items() if qty} == held(truth)
    positions = client.privateGetAccountPositions()["data"]
    assert summed(positions, "instId", "pos") == held(truth)
