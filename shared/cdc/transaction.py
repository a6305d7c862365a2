"""What the log is read into: whole transactions of the source, and moments without any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from shared.changes import Position, Table, Value


class EncodedRows(Protocol):
    """Rows as `envelope.encode_row` made them, in order; beyond a bound they are in a file."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None:
        """Frees memory or the file. To be called once the transaction is appended."""


class Noted(NamedTuple):
    """A row of a table that is looked at and not captured: who wrote, which watermark passed."""

    table: str
    op: str
    values: Mapping[str, Value]


@dataclass(slots=True)
class SourceTransaction:
    """One committed transaction, with at least one captured or noted row.

    begins: file and position of its first event. ends: where reading may go on after it.
    committed_at_us: MySQL tells microseconds; MariaDB the whole second. tables: those that rows
    name by number.
    """

    begins: tuple[str, int]
    ends: Position
    gtid: str
    committed_at_us: int
    tables: list[Table]
    rows: EncodedRows
    noted: list[Noted] = field(default_factory=list)


class Quiet(NamedTuple):
    """Nothing more is there for now, or only transactions of no interest passed."""

    position: Position


Interest = Literal["captured", "noted"]
