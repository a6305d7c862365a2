"""Many rows in few statements: `{rows}` in a template becomes `(1, 'a'), (2, 'b')`, in bounded
chunks.

The driver's own executemany spends more time on literals than the server on the rows; here every
type has one short way to its literal, and whatever could need an escape goes through the
connection's escape.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

CHUNK_BYTES = 512 * 1024  # half of the smallest max_allowed_packet in use (1 MB)
KEYS_PER_SELECT = 500  # from 1,000 on MariaDB turns IN into a subquery and leaves the index range

# Nothing in here can end a literal or begin an escape, in any SQL mode; the connection speaks
# utf8mb4.
_NEEDS_ESCAPE = re.compile(r"['\\\x00-\x1f\x7f]").search
_SHORT_TEXT = 128  # the longest identity

Row = Sequence[Any]


class Rows:
    """Writes and reads sets of rows over one connection. Runs in the caller's transaction.

    Writes wait for the next read or `flush` and go with it in one round trip, in their order: a
    batch of a few fills would spend half of its time on waiting for answers that say nothing. An
    error of theirs is raised there.
    """

    def __init__(self, connection: Any) -> None:
        self._cursor = connection.cursor()
        self._waiting: list[str] = []
        self._waiting_size = 0
        self._literals: dict[type, Callable[[Any], str]] = {
            int: str,
            bool: lambda flag: "1" if flag else "0",
            str: _text_literals(connection),
            bytes: lambda raw: f"x'{raw.hex()}'",
            Decimal: _decimal,
            type(None): lambda _: "NULL",
        }

    def write(self, template: str, rows: Iterable[Row]) -> None:
        self._wait(self._statements(template, rows, limit=None))

    def change(self, template: str, keys: Sequence[Row]) -> None:
        """UPDATE or DELETE of the rows with these keys, `(columns) IN ({rows})`.

        MariaDB reads, and locks, the whole table where such a list holds one key or a thousand: two
        lanes then lock one another's rows. So a lone key is named twice, and many go in several
        statements.
        """
        keys = [*keys, *keys] if len(keys) == 1 else keys
        self._wait(self._statements(template, keys, limit=KEYS_PER_SELECT))

    def _wait(self, statements: Iterable[str]) -> None:
        for statement in statements:
            if self._waiting_size + len(statement) > CHUNK_BYTES:
                self.flush()
            self._waiting.append(statement)
            self._waiting_size += len(statement)

    def flush(self) -> None:
        """Sends what waits."""
        if self._waiting:
            self._send(self._waiting.pop())

    def read(self, template: str, keys: Iterable[Row]) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for statement in self._statements(template, keys, limit=KEYS_PER_SELECT):
            self._send(statement)
            found.extend(self._cursor.fetchall())
        return found

    def run(self, statement: str, arguments: Any = None) -> list[tuple[Any, ...]]:
        """One statement with the driver's own parameters; its rows, if it has any."""
        self._send(self._cursor.mogrify(statement, arguments))
        return list(self._cursor.fetchall())

    def _send(self, statement: str) -> None:
        """What waits, then the statement; the cursor stands on its result."""
        before, self._waiting, self._waiting_size = self._waiting, [], 0
        self._cursor.execute(";\n".join([*before, statement]))
        for _ in before:
            self._cursor.nextset()

    def _statements(self, template: str, rows: Iterable[Row], limit: int | None) -> Iterator[str]:
        head, tail = template.split("{rows}")
        literals = self._literals
        texts: list[str] = []
        size = 0
        for row in rows:
            text = "(" + ",".join([literals[type(value)](value) for value in row]) + ")"
            size += len(text)
            if texts and (size > CHUNK_BYTES or len(texts) == limit):
                yield head + ",".join(texts) + tail
                texts, size = [], len(text)
            texts.append(text)
        if texts:
            yield head + ",".join(texts) + tail


def _text_literals(connection: Any) -> Callable[[str], str]:
    """Text to literal. Remembers short texts, most of which come several times in a transaction. No
    method of Rows: a reference cycle would keep a transaction's texts until the collector comes by.
    """
    known: dict[str, str] = {}

    def literal(text: str) -> str:
        found = known.get(text)
        if found is None:
            if _NEEDS_ESCAPE(text) is None:
                found = f"'{text}'"
            else:
                found = str(connection.string_literal(text.encode()), "utf-8")
            if len(text) <= _SHORT_TEXT:
                known[text] = found
        return found

    return literal


def _decimal(amount: Decimal) -> str:
    # Plain: a literal with an exponent is a DOUBLE to the server, and a DOUBLE rounds.
    text = str(amount) if amount else "0"
    return format(amount, "f") if "E" in text else text
