"""What a changed table means for those who hold copies of it: it goes on, or it alone is stopped.

A table that grows (a column more, a wider type) goes on: every value fits, old rows stay true. What
narrows (a column gone, a smaller type, another key) would make copies lose what they hold, without
anybody having said so. From there on rows of that table are left out, which is said in the stream
(`m`, ["stopped", why]), until somebody accepts the new shape (["accepted", ...]) and has the table
read anew. Both are transactions with a seq of their own, made of the log alone: read again, the log
gives the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal, NamedTuple

from shared.cdc.envelope import encode_row
from shared.cdc.transaction import EncodedRows, SourceTransaction
from shared.changes import Change, Table

ACCEPTED_TABLE = "fleet_cdc_accepted"
"""A row in it, with the table's name, stands in the log where a new shape was accepted."""


class Verdict(NamedTuple):
    """said: a sentence; empty where nothing changed."""

    kind: Literal["same", "additive", "narrowing"]
    said: str


class Standing(NamedTuple):
    """table: the shape of the newest rows; None: the next one is taken as it comes. stopped: why
    rows are left out; empty while they are not.
    """

    table: Table | None
    stopped: str


# --- verdicts ------------------------------------------------------------------------------------

_TYPE = re.compile(r"(\w+)\s*(?:\((.*)\))?\s*(unsigned)?.*", re.DOTALL | re.IGNORECASE)
_LABEL = re.compile(r"'((?:[^']|'')*)'")
_WHOLE = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_ALIASES = {"integer": "int", "numeric": "decimal", "boolean": "tinyint", "real": "double"}
_SHORT = 2**8 - 1, 2**16 - 1, 2**24 - 1, 2**32 - 1
_TEXTS = dict(zip(("tinytext", "text", "mediumtext", "longtext"), _SHORT, strict=True))
_BLOBS = dict(zip(("tinyblob", "blob", "mediumblob", "longblob"), _SHORT, strict=True))
_SIZED = {"char": "text", "varchar": "text", "binary": "bytes", "varbinary": "bytes", "bit": "bit"}
_MOMENTS = frozenset({"datetime", "timestamp", "time"})
_CHARACTER_BYTES = 4
_DECIMAL = (10, 0)


class _Type(NamedTuple):
    name: str
    arguments: str
    unsigned: bool


def verdict(old: Table, new: Table) -> Verdict:
    """What became of a table. Pure."""
    if old is new or old.shape == new.shape:
        return Verdict("same", "")
    types = dict(zip(new.columns, new.types, strict=True))
    known = dict(zip(old.columns, old.types, strict=True))
    lost = [_gone(old, new, column) for column in old.columns if column not in types]
    lost += [
        f"{column} was {known[column]} and is {types[column]}: {why}"
        for column in old.columns
        if column in types and (why := narrower(known[column], types[column]))
    ]
    keys = [tuple(table.columns[place] for place in table.key) for table in (old, new)]
    if keys[0] != keys[1]:
        before, after = (", ".join(key) or "the whole row" for key in keys)
        lost.append(f"its key was {before} and is {after}")
    if lost:
        return Verdict("narrowing", f"{new.name} has lost something: {'; '.join(lost)}")
    grown = [f"{column} is new" for column in new.columns if column not in known]
    grown += [
        f"{column} was {known[column]} and is {types[column]}"
        for column in old.columns
        if known[column] != types[column]
    ]
    return Verdict("additive", f"{new.name}: {'; '.join(grown) or 'its columns moved'}")


def _gone(old: Table, new: Table, column: str) -> str:
    place = old.columns.index(column)
    at_its_place = new.columns[place] if len(old.columns) == len(new.columns) else ""
    if at_its_place and at_its_place not in old.columns:
        return f"{column} is gone, {at_its_place} stands in its place"
    return f"{column} is gone"


def narrower(old: str, new: str) -> str:
    """Why a value of the old type might not be one of the new; empty where every one is."""
    if old == new:
        return ""
    before, after = _type(old), _type(new)
    if before == after:
        return ""
    rules = (_whole, _decimal, _floating, _labelled, _moment, _sized)
    said = (rule(before, after) for rule in rules)
    return next((why for why in said if why is not None), "it is another type")


def _type(text: str) -> _Type:
    found = _TYPE.fullmatch(text.strip())
    if found is None:
        return _Type(text, "", unsigned=False)
    name = found[1].lower()
    name = _ALIASES.get(name, name)
    # int(11) and int are one: a width to show is no bound.
    arguments = "" if name in _WHOLE or name in {"float", "double", "year"} else found[2] or ""
    return _Type(name, arguments, unsigned=bool(found[3]) or "unsigned" in text.lower())


# Each: why it is narrower, empty where it is not, None where this is no rule for these types.


def _whole(before: _Type, after: _Type) -> str | None:
    if before.name not in _WHOLE or after.name not in _WHOLE:
        return None
    if after.unsigned and not before.unsigned:
        return "negative numbers do not fit"
    # Without a sign there is one bit more, which a signed type must have beyond it.
    needs = _WHOLE[before.name] + (before.unsigned and not after.unsigned)
    return "large numbers do not fit" if _WHOLE[after.name] < needs else ""


def _decimal(before: _Type, after: _Type) -> str | None:
    if {before.name, after.name} != {"decimal"}:
        return None
    if after.unsigned and not before.unsigned:
        return "negative numbers do not fit"
    (digits, scale), (new_digits, new_scale) = _numbers(before), _numbers(after)
    if new_scale < scale:
        return "decimals are lost"
    return "large numbers do not fit" if new_digits - new_scale < digits - scale else ""


def _floating(before: _Type, after: _Type) -> str | None:
    if not {before.name, after.name} <= {"float", "double"}:
        return None
    if after.unsigned and not before.unsigned:
        return "negative numbers do not fit"
    return "digits are lost" if (before.name, after.name) == ("double", "float") else ""


def _labelled(before: _Type, after: _Type) -> str | None:
    if before.name != after.name or before.name not in {"enum", "set"}:
        return None
    missing = [one for one in _labels(before) if one not in _labels(after)]
    return f"it has no {missing[0]!r}" if missing else ""


def _moment(before: _Type, after: _Type) -> str | None:
    if before.name != after.name or before.name not in _MOMENTS:
        return None
    return "parts of seconds are lost" if _digits(after) < _digits(before) else ""


def _sized(before: _Type, after: _Type) -> str | None:
    was, now = _size(before), _size(after)
    if was is None or now is None or was[0] != now[0]:
        return None
    return "it is shorter" if now[1] < was[1] else ""


def _numbers(one: _Type) -> tuple[int, int]:
    parts = [int(part) for part in one.arguments.split(",") if part.strip().isdigit()]
    return (parts[0], parts[1] if len(parts) > 1 else 0) if parts else _DECIMAL


def _digits(one: _Type) -> int:
    return int(one.arguments) if one.arguments.isdigit() else 0


def _labels(one: _Type) -> list[str]:
    return _LABEL.findall(one.arguments)


def _size(one: _Type) -> tuple[str, int] | None:
    """What it holds, and how much: characters of the longest encoding, bytes or bits."""
    if one.name in _TEXTS:
        return "text", _TEXTS[one.name]
    if one.name in _BLOBS:
        return "bytes", _BLOBS[one.name]
    if one.name in _SIZED:
        kind = _SIZED[one.name]
        length = int(one.arguments) if one.arguments.isdigit() else 1
        # TEXT counts bytes, VARCHAR characters.
        return kind, length * (_CHARACTER_BYTES if kind == "text" else 1)
    return None


# --- the log -------------------------------------------------------------------------------------


class ShapeWatch:
    """Goes with the collector through the log, one transaction after the other.

    standings: as they were after the transaction at which reading begins (`changed`, kept by
    whoever appends). A table that is not among them is taken as it comes.
    """

    def __init__(self, standings: Mapping[str, Standing]) -> None:
        self._standings = dict(standings)
        self._seen = {name: standing.table for name, standing in standings.items()}
        self._changed: dict[str, Standing] = {}

    @property
    def stopped(self) -> dict[str, str]:
        """Tables whose rows are left out, and why."""
        return {name: one.stopped for name, one in self._standings.items() if one.stopped}

    def changed(self) -> dict[str, Standing]:
        """What changed since the last call: to be kept under the seq of the next transaction that
        is appended, before it is.
        """
        changed, self._changed = self._changed, {}
        return changed

    def forget(self) -> None:
        """Everything captured is read anew: tables that are not stopped are taken as they come."""
        for name, standing in self._standings.items():
            if not standing.stopped:
                self._stand(name, Standing(None, ""))

    def passed(self, transaction: SourceTransaction) -> SourceTransaction:
        """The transaction as it is to be appended: the same object in all but rare cases. It may
        have no rows left, and then takes no seq.
        """
        seen = self._seen
        for table in transaction.tables:
            if seen.get(table.name) is not table or self._standings[table.name].stopped:
                return self._looked_at(transaction)
        for noted in transaction.noted:
            if noted.table == ACCEPTED_TABLE:
                return self._looked_at(transaction)
        return transaction

    def _looked_at(self, transaction: SourceTransaction) -> SourceTransaction:
        left_out: dict[int, bytes] = {}
        tables = list(transaction.tables)
        for number, table in enumerate(transaction.tables):
            if not table.columns:
                continue  # named in a message, without rows
            standing = self._standings.get(table.name, Standing(None, ""))
            if standing.table is None:
                self._stand(table.name, Standing(table, standing.stopped))
            elif not standing.stopped:
                kind, said = verdict(standing.table, table)
                if kind == "narrowing":
                    told = f"{said}. fleet cdc resync {table.name} takes it as it is now"
                    self._stand(table.name, Standing(standing.table, told))
                    tables[number] = standing.table
                    left_out[number] = _message(number, standing.table, "stopped", told)
                    continue
                if kind == "additive":
                    self._stand(table.name, Standing(table, ""))
            if self._standings[table.name].stopped:
                left_out[number] = b""
                tables[number] = standing.table or table
            else:
                self._seen[table.name] = table
        accepted = list(self._accepted(transaction, tables))
        if not left_out and not accepted:
            return transaction
        return replace(
            transaction, tables=tables, rows=_Filtered(transaction.rows, left_out, accepted)
        )

    def _accepted(self, transaction: SourceTransaction, tables: list[Table]) -> Iterator[bytes]:
        """Messages for tables that are taken again; `tables` gets what they name."""
        for noted in transaction.noted:
            name = noted.values.get("table_name")
            if noted.table != ACCEPTED_TABLE or noted.op != "c" or not isinstance(name, str):
                continue
            standing = self._standings.get(name)
            if standing is None or not standing.stopped or standing.table is None:
                continue
            self._stand(name, Standing(None, ""))
            tables.append(standing.table)
            yield _message(
                len(tables) - 1, standing.table, "accepted", "taken again in the shape it has now"
            )

    def _stand(self, name: str, standing: Standing) -> None:
        self._standings[name] = self._changed[name] = standing
        self._seen[name] = standing.table


def _message(number: int, table: Table, kind: str, text: str) -> bytes:
    return encode_row(number, Change(table, "m", None, [kind, text]))


class _Filtered:
    """Rows without those of some tables, each instead once with what is said of it."""

    def __init__(self, rows: EncodedRows, left_out: Mapping[int, bytes], more: list[bytes]) -> None:
        self._rows = rows
        self._left_out = left_out
        self._more = more
        self._length = sum(1 for _ in self)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        said = set[int]()
        for row in self._rows:
            number = int(row[1 : row.index(b",")])
            text = self._left_out.get(number)
            if text is None:
                yield row
            elif text and number not in said:
                said.add(number)
                yield text
        yield from self._more

    def close(self) -> None:
        self._rows.close()
