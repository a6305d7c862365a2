"""What can still be told of an event that was refused: whose books it leaves incomplete, and which
fill or cash entry it was, so that a later valid one supersedes it. Best effort: None is an answer.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import from_json

from shared.ledger.identity import cash_identity, entry_identity, fill_identity

U64_LIMIT = 1 << 64
IDENTITY_CHARACTERS = 700  # width of fleet_parked.identity
PARSED_BYTES = 65_536  # as decode: more than this is not looked into

_CANONICAL = re.compile(r"[1-9][0-9]{0,19}")


def account_of(type_: str, key: str, data: bytes) -> int | None:
    """Account of a refused fill, cash event or opening: by its key, else by its body."""
    if not type_.startswith(tuple(BOOKED)):
        return None
    if _CANONICAL.fullmatch(key) and int(key) < U64_LIMIT:
        return int(key)
    return _account(_body(data))


def identity_of(type_: str, key: str, data: bytes) -> str | None:
    """Identity of such an event as text, when enough of its body can be read.

    The body's account must be the one of `account_of`: the last number of truncated JSON may have
    lost digits, and a wrong identity is worse than none.
    """
    body = _body(data) if type_.startswith(tuple(BOOKED)) else {}
    account = _account(body)
    if account is None or account != account_of(type_, key, data):
        return None
    tell = next(tell for prefix, tell in BOOKED.items() if type_.startswith(prefix))
    identity = tell(account, body)
    return identity if 0 < len(identity) <= IDENTITY_CHARACTERS else None


def _fill(account: int, body: dict[str, Any]) -> str:
    match [body.get(name) for name in ("product", "instrument", "trade_id", "side")]:
        case [str(product), str(instrument), str(trade_id), str(side)]:
            return fill_identity(account, product, instrument, trade_id, side)
    return ""


def _cash(account: int, body: dict[str, Any]) -> str:
    instrument = body.get("instrument") or ""
    match [*(body.get(name) for name in ("venue_type", "ref", "asset")), instrument]:
        case [str(venue_type), str(ref), str(asset), str(instrument)]:
            return cash_identity(account, venue_type, ref, asset, instrument)
    return ""


def _opening(account: int, body: dict[str, Any]) -> str:
    match [body.get(name) for name in ("product", "instrument", "position_side", "ref")]:
        case [str(product), str(instrument), str(position_side), str(ref)]:
            return entry_identity(account, product, instrument, position_side, "open", ref)
    return ""


BOOKED = {"order.filled.": _fill, "cash.moved.": _cash, "position.opened.": _opening}
"""Types of any version whose absence makes an account's books incomplete."""


def _account(body: dict[str, Any]) -> int | None:
    account = body.get("account_id")
    if type(account) is int and 0 < account < U64_LIMIT:
        return account
    return None


def _body(data: bytes) -> dict[str, Any]:
    """Members of the object; of one that is cut off, the whole ones before the cut."""
    if len(data) > PARSED_BYTES:
        return {}
    try:
        body = from_json(data, allow_partial=True)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
