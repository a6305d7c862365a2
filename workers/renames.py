"""An instrument gets another name or contract size: the fact is recorded, and what was held then is
carried over by `position.opened.1` events, the old name to zero and the new one to the same cost.

The openings contain everything up to the last millisecond before the moment. Their refs and ids are
made of the fact, and what is booked or on its way already is left out: to do it twice is to do it
once, and accounts that were missed come along.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from shared.errors import FleetError
from shared.ledger.days import DAY_MS, day_of
from shared.ledger.money import LEDGER, ONE, plain, quantize
from shared.ledger.position import FLAT, State, legs
from shared.mysql import facts, outbox
from shared.mysql.book_positions import (
    FoldFill,
    Position,
    PositionKey,
    checkpoint,
    fills_in_order,
    read_positions,
)
from shared.mysql.book_rows import Rows
from shared.mysql.connection import transaction
from shared.mysql.facts import Instrument
from shared.mysql.outbox import NewEvent
from shared.queries import load

SQL = load(Path(__file__).with_name("renames.sql"))


class RenameRefused(FleetError):  # noqa: N818 - named for what happened
    """What was asked contradicts the facts or the books; the message says what to do."""


class Rename(NamedTuple):
    """From `at` on `old` trades as `new`, and `ratio` of the new are one of the old.

    new: the same name where only the contract size changes. contract_size: of the new; None: as
    the facts have it.
    """

    venue: str
    product: str
    old: str
    new: str
    at: datetime
    ratio: Decimal
    contract_size: Decimal | None = None

    @property
    def at_ms(self) -> int:
        return int(self.at.timestamp()) * 1000 + self.at.microsecond // 1000

    @property
    def ref(self) -> str:
        return "rename:" + _digest(self.venue, self.product, self.old, self.new, self.at_ms).hex()


class Carried(NamedTuple):
    """A position as it was right before the moment, and the events that carry it over."""

    key: PositionKey
    state: State
    events: tuple[NewEvent, ...]


class Plan(NamedTuple):
    """facts: to be recorded; carried: what is neither booked nor on its way yet."""

    facts: tuple[Instrument, ...]
    carried: list[Carried]

    @property
    def accounts(self) -> int:
        return len({one.key[0] for one in self.carried})


def plan(connection: Any, rename: Rename, now: datetime) -> Plan:
    """Reads only. Raises RenameRefused."""
    if rename.at > now:
        raise RenameRefused(
            f"{rename.at.isoformat()} is still to come, and positions move until then; "
            "run this again afterwards"
        )
    before, after = _facts(connection, rename)
    rows = Rows(connection)
    opening_ms = rename.at_ms - 1
    wanted = (rename.venue, rename.product, rename.old, opening_ms)
    keys: list[PositionKey] = [row[:4] for row in rows.run(SQL["candidates"], wanted)]
    done = _booked(rows, rename, keys)
    positions = read_positions(rows, (key for key in keys if key not in done))
    carried = []
    for key, position in sorted(positions.items()):
        state = _state_before(rows, position, rename)
        if state.qty:
            events = tuple(_openings(rename, before, after, position, state))
            carried.append(Carried(key, state, events))
    _refuse_held(rows, rename, carried)
    return Plan((before, after), _not_on_their_way(rows, carried))


def carry_over(connection: Any, made: Plan) -> None:
    """The facts and the events, in one transaction. Commits."""
    with transaction(connection):
        for fact in dict.fromkeys(made.facts):
            facts.set_instrument(connection, fact)
        events = [event for one in made.carried for event in one.events]
        outbox.record(Rows(connection), events)


# ---- facts


def _facts(connection: Any, rename: Rename) -> tuple[Instrument, Instrument]:
    """What is to be recorded of the old name and of the new one."""
    venue, product, old, new, at, ratio, size = rename
    known = facts.instrument_at(connection, venue, product, old, at)
    if known is None:
        raise RenameRefused(
            f"nothing is known of {venue} {product} {old} at that time: "
            "`fleet instruments set` it first, from a time before"
        )
    _refuse_contradiction(connection, rename, known)
    before = known._replace(valid_from=at, renamed_to=new, ratio=ratio)
    if new == old:
        after = before._replace(contract_size=size or known.contract_size)
        return after, after
    named = facts.instrument_at(connection, venue, product, new, at)
    if named is None or named.valid_from != at:
        named = known._replace(instrument=new, valid_from=at, price_step=None, qty_step=None)
    after = named._replace(
        contract_size=size or named.contract_size, renamed_to=None, ratio=None
    )
    if after.settle_asset != known.settle_asset:
        raise RenameRefused(
            f"{old} settles in {known.settle_asset}, {new} in {after.settle_asset}: a cost cannot "
            "be carried from one to the other"
        )
    return before, after


def _refuse_contradiction(connection: Any, rename: Rename, known: Instrument) -> None:
    """What was renamed stays so: its openings are in the books."""
    venue, product, old, new, at, ratio, size = rename
    later = [
        fact
        for fact in facts.instruments(connection, venue, product, old)
        if fact.valid_from > at and fact.renamed_to is not None
    ]
    renamed = later[0] if later else known
    contradicts = bool(later) or known.renamed_to not in {None, old}
    if not later and known.valid_from == at and known.renamed_to is not None:
        made = facts.instrument_at(connection, venue, product, known.renamed_to, at)
        recorded = made.contract_size if made else None
        said = (new, ratio, size or recorded)
        contradicts = (known.renamed_to, known.ratio, recorded) != said
    if contradicts:
        raise RenameRefused(
            f"{old} is {renamed.renamed_to} since {renamed.valid_from.isoformat()}, with ratio "
            f"{plain(renamed.ratio or ONE)}, and was carried over so; a rename of a later time can "
            "correct it"
        )


# ---- positions


def _state_before(rows: Rows, position: Position, rename: Rename) -> State:
    """The position at the end of the last millisecond before the rename, without its opening."""
    at_ms, since = rename.at_ms, position.restating_from_ms
    if since is None and position.last[0] < at_ms - 1:
        return position.state
    from_ms = at_ms - 1 if since is None else min(since, at_ms - 1)
    known = checkpoint(rows, position.key, day_of(from_ms))
    first_day, state = (0, FLAT) if known is None else (known[0] + 1, known[1])

    def is_before(fill: FoldFill) -> bool:
        return fill.executed_at_ms < at_ms

    fills = takewhile(is_before, fills_in_order(rows, position.key, first_day * DAY_MS))
    ours = (fill for fill in fills if (fill.side, fill.trade_id) != ("open", rename.ref))
    for leg in legs(state, ours, rename.product):
        state = leg.state
    return state


def _booked(rows: Rows, rename: Rename, keys: Sequence[PositionKey]) -> set[PositionKey]:
    """Those whose openings under the new name are in the books."""
    wanted = ((key[0], key[1], rename.new, key[3], "open", rename.ref) for key in keys)
    found = rows.read(SQL["carried"], wanted)
    return {(account, product, rename.old, side) for account, product, _, side in found}


def _not_on_their_way(rows: Rows, carried: Sequence[Carried]) -> list[Carried]:
    known = outbox.on_their_way(rows, (one.events[-1].event_id for one in carried))
    return [one for one in carried if one.events[-1].event_id not in known]


def _refuse_held(rows: Rows, rename: Rename, carried: Sequence[Carried]) -> None:
    """An opening replaces what is there: under a new name nothing may be."""
    if rename.new == rename.old:
        return
    keys = [(one.key[0], one.key[1], rename.new, one.key[3]) for one in carried]
    for key, position in sorted(read_positions(rows, keys).items()):
        if _state_before(rows, position, rename).qty:
            raise RenameRefused(
                f"account {key[0]} held {rename.new} before that time already, so this is no "
                "rename; nothing was done"
            )


# ---- events


def _openings(
    rename: Rename, before: Instrument, after: Instrument, position: Position, state: State
) -> Iterator[NewEvent]:
    if rename.new != rename.old:
        yield _opening(rename, before, position, {"qty": "0"}, position.contract_size)
    qty = quantize(LEDGER.multiply(state.qty, rename.ratio))
    amounts = {"qty": plain(qty), "cost": plain(state.cost.copy_abs())}
    yield _opening(rename, after, position, amounts, after.contract_size)


def _opening(
    rename: Rename,
    fact: Instrument,
    position: Position,
    amounts: dict[str, str],
    contract_size: Decimal,
) -> NewEvent:
    """The body's fields as `workers/events/position_opened.py` reads them."""
    account_id, product, _, side = position.key
    at_ms = rename.at_ms - 1
    body = {
        "account_id": account_id,
        "venue": rename.venue,
        "product": product,
        "instrument": fact.instrument,
        "position_side": side,
        "ref": rename.ref,
        **amounts,
        "contract_size": plain(contract_size),
        "settle_asset": position.settle_asset,
        "base_asset": fact.base_asset,
        "quote_asset": fact.quote_asset,
        "at_ms": at_ms,
    }
    event_id = str(UUID(bytes=_digest(rename.ref, account_id, fact.instrument, side)))
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return NewEvent("orders", "position.opened.1", str(account_id), event_id, at_ms * 1000, data)


def _digest(*parts: str | int) -> bytes:
    return blake2b(json.dumps(parts).encode(), digest_size=16).digest()
