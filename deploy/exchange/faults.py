"""Faults that can be set: what goes wrong, for whom, how often.

Faults of the books (a late row, a fee that comes later, a snapshot between two fills) are set on
the account by the desk; these here are faults of one answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

KINDS = (
    "status",  # value: HTTP status, before anything is done
    "late_status",  # value: HTTP status, after it was done
    "limited",  # 429 for that address and venue; value: seconds of Retry-After
    "banned",  # 418; value: seconds
    "truncated",  # half of the JSON, status 200
    "empty",  # status 200 and nothing
    "unquoted",  # amounts as JSON numbers
    "duplicate",  # the last row of a list twice
    "delayed",  # value: milliseconds
    "dropped",  # the connection is closed without an answer
)


@dataclass(slots=True, eq=False)
class Fault:
    """kind: one of KINDS. path, api_key, address: parts that must fit, empty for any. times: how
    many answers, None for all. seen: how many there were.
    """

    kind: str
    value: int = 0
    venue: str = ""
    path: str = ""
    api_key: str = ""
    address: str = ""
    times: int | None = 1
    seen: int = 0

    def fits(self, venue: str, path: str, api_key: str, address: str) -> bool:
        return (
            self.venue in {"", venue}
            and self.path in path
            and self.api_key in {"", api_key}
            and self.address in {"", address}
        )


@dataclass(slots=True)
class Faults:
    """Those that are set, in that order."""

    active: list[Fault] = field(default_factory=list)

    def set(self, fault: Fault) -> Fault:
        if fault.kind not in KINDS:
            raise ValueError(f"no fault {fault.kind}; there are {', '.join(KINDS)}")
        self.active.append(fault)
        return fault

    def clear(self) -> None:
        self.active.clear()

    def due(self, venue: str, path: str, api_key: str, address: str) -> list[Fault]:
        """Those that this request meets; each is counted."""
        if not self.active:
            return []
        found = [fault for fault in self.active if fault.fits(venue, path, api_key, address)]
        for fault in found:
            fault.seen += 1
            if fault.times is not None and fault.seen >= fault.times:
                self.active.remove(fault)
        return found


_QUOTED = re.compile(rb'"(-?(?:0|[1-9]\d*)(?:\.\d+)?)"(?!\s*:)')


def spoiled(body: bytes, faults: list[Fault]) -> bytes:
    """The answer's text as the faults leave it."""
    for fault in faults:
        if fault.kind == "unquoted":
            body = _QUOTED.sub(rb"\1", body)
        elif fault.kind == "truncated":
            body = body[: len(body) // 2]
        elif fault.kind == "empty":
            body = b""
    return body


def rows_in(answer: Any) -> list[Any] | None:
    """The list of an answer: itself, `data`, `result.list`; None where there is none."""
    if isinstance(answer, list):
        return answer
    if isinstance(answer, dict):
        inner = answer.get("result", answer)
        if isinstance(inner, dict):
            found = inner.get("list", inner.get("data"))
            return found if isinstance(found, list) else None
    return None
