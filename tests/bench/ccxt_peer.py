"""The peer of the sync: a plain loop over ccxt that asks each account the same questions.

    python -m tests.bench.ccxt_peer URL FIRST LAST CALLS

CALLS: JSON, how often our run asked all accounts for what. One unmodified ccxt class per account,
as its documentation has it, made before the clock starts, markets shared; prints the CPU seconds as
JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import warnings
from typing import Any

import ccxt

from tests.bench.exchange_desk import key_of

SYMBOL = "BTC/USDT:USDT"


def main() -> None:
    url, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    calls: dict[str, int] = json.loads(sys.argv[4])
    warnings.simplefilter("ignore")
    shared = _exchange(url, 0)
    shared.load_markets()
    exchanges = [_exchange(url, account) for account in range(first, last + 1)]
    for exchange in exchanges:
        exchange.set_markets_from_exchange(shared)
    accounts = len(exchanges)
    used = _cpu()
    rows = sum(
        _ask(exchange, {kind: _share(of_all, place, accounts) for kind, of_all in calls.items()})
        for place, exchange in enumerate(exchanges)
    )
    print(json.dumps({"cpu_seconds": _cpu() - used, "rows": rows}), flush=True)


def _exchange(url: str, account: int) -> Any:
    key = key_of(account)
    made = ccxt.binanceusdm({
        "apiKey": key["api_key"], "secret": key["secret"], "enableRateLimit": False,
        "options": {"fetchCurrencies": False, "warnOnFetchOpenOrdersWithoutSymbol": False,
                    "leverageBrackets": {}},
    })  # fmt: skip
    made.number = str
    for name, address in made.urls["api"].items():
        if isinstance(address, str):
            made.urls["api"][name] = url + "/" + address.split("/", 3)[3]
    return made


def _share(calls: int, place: int, accounts: int) -> int:
    """Of the account at this place: not everything is asked of everybody in every run."""
    return calls * (place + 1) // accounts - calls * place // accounts


def _ask(exchange: Any, calls: dict[str, int]) -> int:
    """So many of each, through ccxt's own methods."""
    asked = {
        "positions": exchange.fetch_positions,
        "balances": exchange.fetch_balance,
        "cash": lambda: exchange.fetch_ledger(None, None, 1000),
        "fills": lambda: exchange.fetch_my_trades(SYMBOL, None, 1000),
        "orders": exchange.fetch_open_orders,
        "permissions": exchange.sapiGetAccountApiRestrictions,
    }
    found = 0
    for kind, times in calls.items():
        for _ in range(times):
            found += len(asked[kind]())
    return found


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
