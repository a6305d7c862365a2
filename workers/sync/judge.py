"""What one run of an account found, judged. Pure.

A snapshot says what was held while it was asked for, and a stream of fills goes on meanwhile. It is
worth something only where nothing moved around it: then every time of that quiet span is a true
watermark. Whatever moved, the next run asks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from shared.exchanges.venue import Found, Kind, Page

QUIET_MS = 1_000
"""Before a snapshot: its venue's clock and ours differ by less, once ours is corrected."""

MOVES: tuple[Kind, ...] = ("cash", "fills")
SNAPSHOTS: tuple[Kind, ...] = ("positions", "balances")
OBSERVED = ("position.observed.1", "balance.observed.1")
_CONTENT = ("product", "instrument", "position_side", "qty", "entry_price", "asset", "wallet")
_TIME_FIELDS = ("executed_at_ms", "at_ms", "watermark_ms")


class Judged(NamedTuple):
    """events: to be recorded, movements first. snapshots: to be recorded after them, unless they
    say what the last ones said. moved_ms: the newest movement; None: nothing moved yet.

    holds: whether a position is open by the snapshot; None: there was none. restless: the account
    moved around its snapshots, so they were left out.
    """

    events: list[Found]
    snapshots: list[Found]
    moved_ms: int | None
    holds: bool | None
    restless: bool


def judge(pages: Mapping[Kind, Page], asked_ms: int, moved_ms: int | None = None) -> Judged:
    """asked_ms: the venue's time when the run began. moved_ms: the newest movement known before:
    some venues stamp to the second, so that it may lie behind the time at which it was told.
    """
    moves = [found for kind in MOVES for found in _events(pages, kind)]
    times = [*map(time_ms, moves), *([] if moved_ms is None else [moved_ms])]
    moved_ms = max(times, default=None)
    read_all = all(kind in pages and not pages[kind].more for kind in MOVES)
    restless = not read_all or (moved_ms is not None and moved_ms >= asked_ms - QUIET_MS)
    snapshots = [found for kind in SNAPSHOTS for found in _events(pages, kind)]
    orders = list(_events(pages, "orders"))
    return Judged(
        events=[*moves, *orders],
        snapshots=[] if restless else snapshots,
        moved_ms=moved_ms,
        holds=holds(snapshots) if "positions" in pages else None,
        restless=restless,
    )


def content_of(snapshots: Iterable[Found]) -> str:
    """32 letters; the same for snapshots that say the same of quantities and wallets, whatever
    their watermarks and mark prices. "": there are none.
    """
    said = sorted(
        tuple(str(found.body.get(name, "")) for name in _CONTENT) for found in snapshots
    )
    return blake2b(repr(said).encode(), digest_size=16).hexdigest() if said else ""


def holds(snapshots: Iterable[Found]) -> bool:
    return any(
        found.type == "position.observed.1" and found.body["qty"].strip("-0.") != ""
        for found in snapshots
    )


def openings(snapshots: Sequence[Found]) -> list[Found]:
    """What an account held when it was linked: explicit openings at the snapshot's watermark.

    One without an entry price is left out: every later P&L would be made up. Reconciliation then
    names its cause `unknown past`, and what to do.
    """
    return [
        Found("position.opened.1", _opened(found.body))
        for found in snapshots
        if holds([found]) and found.body.get("entry_price")
    ]


def _opened(observed: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "account_id", "venue", "product", "instrument", "position_side", "qty", "entry_price",
        "contract_size", "settle_asset",
    )  # fmt: skip
    at_ms = observed["watermark_ms"]
    known = {name: observed[name] for name in names if observed.get(name) is not None}
    return {**known, "ref": f"linked:{at_ms}", "at_ms": at_ms}


def time_ms(found: Found) -> int:
    """The time that an event tells, in milliseconds since 1970 UTC."""
    return next(int(found.body[name]) for name in _TIME_FIELDS if name in found.body)


def _events(pages: Mapping[Kind, Page], kind: Kind) -> Sequence[Found]:
    return pages[kind].events if kind in pages else ()
