"""What an answer means for us: ccxt's class of error, put into types that say what to do next."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import ccxt

from shared.errors import FleetError
from shared.exchanges.answers import Answer, what_is_wrong
from shared.exchanges.errors import (
    Banned,
    ClockOff,
    KeyRefused,
    Malformed,
    Refused,
    Throttled,
    VenueAway,
)
from shared.exchanges.venue import Venue

ACCOUNT_PAUSE_MS = 2_000
"""Where a venue limits accounts and does not say for how long: the longest of their windows."""

BAN_MS = 120_000
"""Binance's shortest, for a 418 that does not say."""

FORBIDDEN_MS = 600_000
"""403 from the firewall in front of a venue. Bybit says ten minutes."""

SHORTEST_MS, LONGEST_MS = 1_000, 3 * 86_400_000
"""A header may be wrong. Three days are Binance's longest ban."""

_OK, _FORBIDDEN, _TEAPOT, _TOO_MANY, _SERVER = 200, 403, 418, 429, 500
TOO_MUCH = (_FORBIDDEN, _TEAPOT, _TOO_MANY)
"""Statuses that shut out an address, whatever else the answer says."""

_UNTIL = re.compile(r"until (\d{13})")


class Said(NamedTuple):
    """The venue's own code and words, "" where there are none."""

    code: str
    words: str


Kind = Literal["malformed", "away", "banned", "address", "account", "clock", "key", "refused"]

# Where ccxt's class would make us do the wrong thing.
_OTHERWISE: Mapping[tuple[str, str], Kind] = {
    ("bybit", "10000"): "away",  # server timeout
    ("bybit", "10016"): "away",  # "System error. Please try again later."
    ("bybit", "10018"): "address",  # the limit of the address, not of the account
    ("okx", "50009"): "refused",  # it is being liquidated: that is when a sync matters most
    ("okx", "50100"): "key",  # frozen
}
# The first that fits: ccxt's classes are a tree.
_BY_CLASS: Sequence[tuple[type[BaseException], Kind]] = (
    (ccxt.InvalidNonce, "clock"),
    (ccxt.AuthenticationError, "key"),
    (ccxt.OperationFailed, "away"),
)
_TOO_MUCH = (ccxt.DDoSProtection, ccxt.RateLimitExceeded)
_MISSING = (ccxt.OrderNotFound, ccxt.BadSymbol)
_PLAIN: Mapping[Kind, Callable[[str], FleetError]] = {
    "malformed": Malformed,
    "away": VenueAway,
    "clock": ClockOff,
}


def verdict(
    venue: Venue, answer: Answer, found: type[BaseException] | None, said: Said, now_ms: int
) -> FleetError:
    """The error to raise for an answer that is none.

    found: as `Signer.judge` says. said: without secrets. now_ms: the venue's clock.
    """
    kind = _kind(venue, answer.status, found, said.code)
    text = f"{venue.name} answered {said.code or answer.status} {said.words}".rstrip()
    if kind in _PLAIN:
        return _PLAIN[kind](f"{text}: {what_is_wrong(answer)}" if kind == "malformed" else text)
    if kind == "key":
        return KeyRefused(f"{said.code} {said.words}".strip(), said.code)
    if kind == "refused":
        return Refused(text, said.code, missing=found is not None and issubclass(found, _MISSING))
    if kind == "account":
        return Throttled(text, ACCOUNT_PAUSE_MS, everybody=False)
    default = venue.weights.window_ms
    if kind == "banned":
        default = BAN_MS if answer.status == _TEAPOT else FORBIDDEN_MS
    retry_after_ms = _retry_after_ms(answer, said.words, now_ms, default)
    return (Banned if kind == "banned" else Throttled)(text, retry_after_ms)


def _kind(venue: Venue, status: int, found: type[BaseException] | None, code: str) -> Kind:
    if status == _TEAPOT or (status == _FORBIDDEN and found is None):
        return "banned"
    if status == _TOO_MANY:
        return _whose_limit(venue, code)
    if found is None:
        # Nothing of the venue's own is in it: a proxy, or a broken body.
        return "malformed" if status == _OK else "away"
    kind = _OTHERWISE.get((venue.ccxt_class, code))
    if kind is None and issubclass(found, _TOO_MUCH):
        kind = _whose_limit(venue, code)
    if kind is None:
        kind = next((one for row, one in _BY_CLASS if issubclass(found, row)), None)
    return kind or ("away" if status >= _SERVER else "refused")


def _whose_limit(venue: Venue, code: str) -> Kind:
    """Venues that limit accounts say so with a code of their own."""
    return "account" if venue.per_account and code else "address"


def _retry_after_ms(answer: Answer, words: str, now_ms: int, default: int) -> int:
    header = answer.headers.get("Retry-After", "")
    until = _UNTIL.search(words)
    found = default
    if header.isascii() and header.isdigit():
        found = int(header) * 1000
    elif until:
        found = int(until[1]) - now_ms
    return min(max(found, SHORTEST_MS), LONGEST_MS)
