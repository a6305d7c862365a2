"""A running local exchange, and unmodified ccxt classes that talk to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.exchange.desk import Desk
from deploy.exchange.server import Running, new_exchange

KEY: dict[str, Any] = {"venue": "binance", "api_key": "key-1"}
SECRET = "secret-1"
Client = Callable[..., Any]


@pytest.fixture
def running() -> Iterator[Running]:
    with Running(new_exchange()) as server:
        yield server


@pytest.fixture
def trader(running: Running) -> dict[str, Any]:
    """An account with 10,000 USDT for futures and for spot; names it for the desk's verbs."""

    def add(desk: Desk) -> None:
        desk.add_accounts(
            [
                {
                    **KEY, "uid": "1", "secret": SECRET, "products": ["linear", "spot"],
                    "wallets": {"linear": {"USDT": "10000"}, "spot": {"USDT": "10000"}},
                }
            ]
        )  # fmt: skip

    running.do(add)
    return dict(KEY)


def redirected(cls: Any, url: str, **settings: Any) -> Any:
    """An unmodified class of ccxt whose every address is the local one."""
    client = cls({"enableRateLimit": False, "options": {"fetchCurrencies": False}, **settings})
    client.number = str
    for name, address in client.urls["api"].items():
        path = address.split("/", 3)[3:]
        client.urls["api"][name] = "/".join([url, *path])
    return client


@pytest.fixture
def client(running: Running, trader: dict[str, Any]) -> Iterator[Client]:
    """Makes ccxt clients of that account: `client(ccxt.binanceusdm)`."""
    made = []

    def make(cls: Any, api_key: str = trader["api_key"], secret: str = SECRET) -> Any:
        found = redirected(cls, running.url, apiKey=api_key, secret=secret)
        made.append(found)
        return found

    yield make
    for one in made:
        one.session.close()


@pytest.fixture
def connect(running: Running) -> Iterator[Client]:
    """Makes ccxt clients with any settings: `connect(ccxt.okx, apiKey=…, secret=…, password=…)`."""
    made = []

    def make(cls: Any, **settings: Any) -> Any:
        found = redirected(cls, running.url, **settings)
        made.append(found)
        return found

    yield make
    for one in made:
        one.session.close()
