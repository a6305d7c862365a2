"""Tables of a storm over change capture, and how a row of each must look in a sink.

Values are made here from what SELECT gives, without anything of shared/cdc.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

SCHEMA = "app_laravel"

Seen = dict[str, Any]
"""Column -> value, as a sink has it."""


def _plain(value: Any) -> Any:
    return value


def _text(value: Any) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _moment(value: Any) -> str:
    return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond:06d}"


def _bytes(value: Any) -> dict[str, str]:
    return {"$base64": base64.b64encode(value).decode()}


class Watched(NamedTuple):
    """columns: in their order, each with what makes its value. hashed: the audit log has only the
    hash of a row.
    """

    schema: str
    name: str
    key: tuple[str, ...]
    columns: Mapping[str, Callable[[Any], Any]]
    definition: str = ""
    hashed: bool = False

    def seen(self, names: list[str], row: tuple[Any, ...]) -> Seen:
        """Columns that were added are whole numbers."""
        return {
            name: None if value is None else self.columns.get(name, _plain)(value)
            for name, value in zip(names, row, strict=True)
        }

    def key_of(self, seen: Seen) -> str:
        return orjson.dumps([seen[name] for name in self.key]).decode()


ORDERS = Watched(
    SCHEMA, "orders", ("id",),
    {
        "id": _plain, "name": _plain, "amount": _text, "at": _moment, "state": _plain,
        "big": _text, "raw": _bytes, "doc": _plain,
    },
    """CREATE TABLE orders (
      id INT NOT NULL PRIMARY KEY, name VARCHAR(190) NULL, amount DECIMAL(30,10) NOT NULL,
      at DATETIME(6) NOT NULL, state ENUM('new','open','gone') NOT NULL,
      big BIGINT UNSIGNED NOT NULL, raw VARBINARY(40) NULL, doc JSON NULL
    ) CHARACTER SET utf8mb4""",
)  # fmt: skip
PAIRS = Watched(
    SCHEMA, "pairs", ("a", "b"), {"a": _plain, "b": _plain, "v": _plain, "n": _text},
    """CREATE TABLE pairs (
      a INT NOT NULL, b VARCHAR(20) COLLATE utf8mb4_bin NOT NULL, v INT NOT NULL, n BIGINT NOT NULL,
      PRIMARY KEY (a, b), UNIQUE KEY pairs_v (v)
    ) CHARACTER SET utf8mb4""",
)  # fmt: skip
IMPORTS = Watched(
    SCHEMA, "imports", ("id",), {"id": _plain, "n": _plain, "text": _plain},
    """CREATE TABLE imports (
      id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL, text VARCHAR(600) NOT NULL
    ) CHARACTER SET utf8mb4""",
)  # fmt: skip
TRANSFERS = Watched(
    SCHEMA, "transfers", ("id",), {"id": _plain, "n": _plain},
    "CREATE TABLE transfers (id INT NOT NULL PRIMARY KEY, n INT NOT NULL)",
)  # fmt: skip
CASH = Watched(
    "app", "fleet_cash_entries", ("account_id", "venue_type", "ref", "asset", "instrument"),
    {
        "account_id": _text, "amount": _text, "at": _moment, "at_ms": _text,
        "report_hash": _bytes,
    },
    hashed=True,
)  # fmt: skip
TABLES = (ORDERS, PAIRS, IMPORTS, TRANSFERS, CASH)
CAPTURED = tuple(one.name for one in TABLES)

BESIDE = (
    "CREATE TABLE visits (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL)",
    "CREATE TABLE drafts (id INT NOT NULL PRIMARY KEY, n INT NOT NULL)",
)
"""Of no interest, but the first one at times."""
AT_TIMES = "visits"


def hash_of(seen: Seen) -> Seen:
    """What the audit log has of a row that never changes."""
    return {"$sha256": hashlib.sha256(orjson.dumps(seen)).hexdigest()}


def same(theirs: Seen, ours: Seen, added: set[str]) -> bool:
    """theirs: of a sink, perhaps from before columns were added, which have their defaults now."""
    if set(ours) - set(theirs) - added or set(theirs) - set(ours):
        return False
    return all(_alike(name, value, ours[name]) for name, value in theirs.items())


def _alike(name: str, one: Any, other: Any) -> bool:
    if name == "doc" and one is not None and other is not None:
        return bool(json.loads(one) == json.loads(other))
    return bool(one == other)
