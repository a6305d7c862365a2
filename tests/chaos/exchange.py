"""A local exchange in a process of its own, and accounts of it in Laravel's table."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from shared.exchanges.venue import Product
from shared.laravel.encrypter import Encrypter
from shared.settings import Settings
from tests.chaos.sync_node import SCALE
from tests.desk import ROOT

DEPOSITS = {"USDT": "1000000", "BTC": "100", "ETH": "1000", "BNB": "500"}
_LISTENING = re.compile(r"listening on (\S+)")


class Member(NamedTuple):
    """An account of the exchange and of Laravel."""

    account: int
    venue: str
    product: Product
    mark: str = ""
    """In front of its keys."""

    @property
    def api_key(self) -> str:
        return f"{self.mark}key-{self.account}"

    @property
    def secret(self) -> str:
        return f"{self.mark}secret-{self.account}"

    @property
    def passphrase(self) -> str:
        return f"{self.mark}pass-{self.account}"

    @property
    def name(self) -> str:
        return f"{self.venue} {self.product} account {self.account}"


class Exchange(NamedTuple):
    """url: where it listens."""

    url: str

    def do(self, verb: str, **arguments: Any) -> Any:
        """One control verb of deploy/exchange."""
        request = urllib.request.Request(  # noqa: S310 - our own server on loopback
            f"{self.url}/_desk/{verb}", json.dumps(arguments).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
            return json.loads(answer.read())


@contextmanager
def local_exchange(folder: Path) -> Iterator[Exchange]:
    command = [sys.executable, "-m", "deploy.exchange", "--port", "0", "--scale", str(SCALE)]
    with (folder / "exchange.log").open("ab") as log, subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            listening = _LISTENING.search(line)
            assert listening, f"the exchange said {line!r}"
            yield Exchange(listening[1])
        finally:
            process.terminate()


def add_accounts(exchange: Exchange, members: Sequence[Member], at_ms: int) -> None:
    """With money since at_ms."""
    exchange.do("add_accounts", accounts=[
        {"venue": one.venue, "uid": str(4_000 + one.account), "api_key": one.api_key,
         "secret": one.secret, "passphrase": one.passphrase,
         "products": [one.product], "wallets": {one.product: DEPOSITS}, "at_ms": at_ms}
        for one in members
    ])  # fmt: skip


def link_accounts(connection: Any, settings: Settings, members: Sequence[Member]) -> None:
    """As Laravel's `encrypted` casts store them. Commits."""
    key = settings.credentials_key or settings.app_key
    assert key is not None
    sealed = Encrypter(key).encrypt_string
    connection.cursor().executemany(
        f"INSERT INTO `{settings.mysql.laravel_database}`.exchange_accounts"  # noqa: S608 - ours
        " (id, user_id, venue, product, api_key, api_secret, passphrase, active)"
        " VALUES (%s, 1, %s, %s, %s, %s, %s, 1)",
        [
            (one.account, one.venue, one.product, sealed(one.api_key),
             sealed(one.secret), sealed(one.passphrase))
            for one in members
        ],
    )  # fmt: skip
    connection.commit()
