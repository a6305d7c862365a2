"""A local exchange in a process of its own, and accounts of it in Laravel's table."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from pydantic import SecretStr

from shared.laravel.encrypter import Encrypter
from tests.bench.place import Place

_TABLE = """
CREATE TABLE IF NOT EXISTS bench_accounts (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, venue VARCHAR(32) NOT NULL,
  api_key TEXT NOT NULL, api_secret TEXT NOT NULL)"""
_VIEW = """
CREATE OR REPLACE SQL SECURITY INVOKER VIEW fleet_account_sources AS
SELECT id, id AS user_id, venue, 'linear' AS product, api_key, api_secret, NULL AS passphrase,
  NULL AS settings, 1 AS active
FROM bench_accounts"""
_LISTENING = re.compile(r"listening on (\S+)")


class ExchangeDesk(NamedTuple):
    """url: where it listens."""

    url: str

    def do(self, verb: str, **arguments: Any) -> Any:
        """One control verb of deploy/exchange."""
        request = urllib.request.Request(  # noqa: S310 - our own server on loopback
            f"{self.url}/_desk/{verb}", json.dumps(arguments).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - the same
            return json.loads(answer.read())


@contextmanager
def exchange_desk(place: Place, *, scale: int = 1) -> Iterator[ExchangeDesk]:
    arguments = ["-m", "deploy.exchange", "--port", "0", "--scale", str(scale)]
    with place.start(arguments) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = _LISTENING.search(line)
            if found is None:
                raise RuntimeError(f"the local exchange said {line!r}; see {place.log}")
            yield ExchangeDesk(found.group(1))
        finally:
            process.terminate()
            process.wait(timeout=30)


def add_accounts(desk: ExchangeDesk, accounts: Sequence[int], venue: str = "binance") -> None:
    """Accounts with a thousand USDT, each with a position that it opened."""
    rows = [
        {"venue": venue, "uid": str(account), **key_of(account), "products": ["linear"],
         "wallets": {"linear": {"USDT": "1000"}}}
        for account in accounts
    ]  # fmt: skip
    for first in range(0, len(rows), 500):
        desk.do("add_accounts", accounts=rows[first : first + 500])


def key_of(account: int) -> dict[str, str]:
    return {"api_key": f"key-{account}", "secret": f"secret-{account}"}


def link_accounts(place: Place, accounts: Sequence[int], venue: str = "binance") -> None:
    """As Laravel's `encrypted` cast stores them, in a table of the benchmark's own."""
    encrypter = Encrypter(SecretStr(place.servers["APP_KEY"]))
    rows = [
        (account, venue, *map(encrypter.encrypt_string, key_of(account).values()))
        for account in accounts
    ]
    with closing(place.mysql()) as connection:
        cursor = connection.cursor()
        cursor.execute(_TABLE)
        cursor.execute(_VIEW)
        cursor.executemany(
            "INSERT INTO bench_accounts (id, venue, api_key, api_secret) VALUES (%s, %s, %s, %s)",
            rows,
        )
        connection.commit()
