"""What a check found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

NAMED = 5


class Found(NamedTuple):
    """detail: some of those that are not good."""

    good: int
    total: int
    detail: str = ""

    @classmethod
    def of(cls, total: int, bad: Sequence[str]) -> Found:
        """bad: a text for each that is not good."""
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        return cls(total - len(bad), total, ", ".join(bad[:NAMED]) + more)

    @property
    def part(self) -> float:
        """Of nothing everything is good."""
        return self.good / self.total if self.total else 1.0
