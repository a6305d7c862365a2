"""What a venue's answer means for us: the type says what to do next.

    Unavailable
    ├── VenueAway        5xx, maintenance, no connection: the same later
    ├── Malformed        an answer that is no answer (cut, empty, not JSON): the same later
    ├── UnknownMarket    a row names an instrument that is not in the list: later, by a new list
    ├── ClockOff         the venue refuses our time even after it was measured again: later, loudly
    └── Throttled        too much was asked: nothing before `retry_after_ms` has passed
        └── Banned       the venue has shut this address out: nobody asks from it until then
    FleetError
    ├── KeyRefused       suspend this account until its key changes; no other account is disturbed
    └── Refused          the request itself was refused: asking again changes nothing

No text of these holds a key, a signature, or a query string.
"""

from __future__ import annotations

from shared.errors import FleetError, Unavailable
from shared.exchanges.venue import Product


class VenueAway(Unavailable):
    """The venue, or the way to it, does not work for now."""


class Malformed(Unavailable):
    """The answer was cut, empty or no JSON, and stayed so when asked again."""


class UnknownMarket(Unavailable):
    """wanted: what is missing among the markets; without it a row cannot be told."""

    def __init__(self, product: Product, symbol: str) -> None:
        super().__init__(f"{symbol} ({product}) is not among the venue's instruments")
        self.wanted = (product, symbol)


class ClockOff(Unavailable):
    """The venue refuses our time of day, and did so again after its clock was read anew."""


class Throttled(Unavailable):
    """Too much was asked. retry_after_ms: from now. everybody: the whole address, not one account.

    Raised as well when the limiter would have to wait for longer than the caller said.
    """

    def __init__(self, detail: str, retry_after_ms: int, *, everybody: bool = True) -> None:
        super().__init__(f"{detail}; again in {retry_after_ms / 1000:.1f} s")
        self.retry_after_ms = retry_after_ms
        self.everybody = everybody


class Banned(Throttled):
    """The address is shut out for a while; every further request makes it longer."""


class KeyRefused(FleetError):  # noqa: N818 - says what happened
    """Suspend this account at once. reason: the venue's code and words, for the user."""

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(f"the key was refused: {reason}")
        self.reason = reason
        self.code = code


class Refused(FleetError):  # noqa: N818 - says what happened
    """The request was understood and refused. code: the venue's; missing: what it names is not
    there (an order, a symbol). Thrown into the reading first, which may know what it means.
    """

    def __init__(self, detail: str, code: str = "", *, missing: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.missing = missing
