"""What a venue tells everybody: its clock and its instruments. Blocking, by ccxt's own requests.

Each question makes an exchange of its own and drops it: instruments in ccxt's form take 5 MiB.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import ccxt
from requests.adapters import HTTPAdapter

from shared.errors import FleetError
from shared.exchanges.addresses import redirected
from shared.exchanges.answers import Answer
from shared.exchanges.errors import VenueAway
from shared.exchanges.markets import Markets, markets_of
from shared.exchanges.signing import WORDS, new_exchange
from shared.exchanges.venue import Venue
from shared.exchanges.verdicts import TOO_MUCH, Said, verdict

READINGS = 3
"""Of the clock; the quickest counts. The first one also opens the connection."""


class ClockReading(NamedTuple):
    """The venue's time, our monotonic time at that moment, and by how much it may be wrong (ms)."""

    venue_ms: int
    monotonic_ms: float
    doubt_ms: int


class MarketsReading(NamedTuple):
    """used: weight of this window as the last answer told it, None if it did not."""

    markets: Markets
    used: int | None


class _Bound(HTTPAdapter):
    """Sends from one local address."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, source_address=(self._address, 0))


def read_clock(venue: Venue, address: str | None, url: str | None) -> ClockReading:
    """The venue's clock. Raises VenueAway, and Throttled where too much was asked."""
    with _exchange(venue, address, url) as exchange:
        found = []
        for _ in range(READINGS):
            before = time.monotonic() * 1000
            venue_ms = int(exchange.fetch_time())
            after = time.monotonic() * 1000
            found.append((after - before, venue_ms, (before + after) / 2))
    took, venue_ms, middle = min(found)
    return ClockReading(venue_ms, middle, int(took / 2) + 1)


def read_markets(venue: Venue, address: str | None, url: str | None) -> MarketsReading:
    """Every instrument that trades. Raises as `read_clock`."""
    with _exchange(venue, address, url) as exchange:
        parsed = exchange.load_markets()
        headers = exchange.last_response_headers or {}
    used = headers.get(venue.weights.used_header, "") if venue.weights.used_header else ""
    return MarketsReading(markets_of(parsed.values()), int(used) if used.isdigit() else None)


@contextmanager
def _exchange(venue: Venue, address: str | None, url: str | None) -> Iterator[Any]:
    exchange = new_exchange(venue)
    if url:
        exchange.urls["api"] = redirected(exchange.urls["api"], url)
    if address:
        exchange.session.mount("https://", _Bound(address))
        exchange.session.mount("http://", _Bound(address))
    kinds = exchange.options.get("fetchMarkets")
    if isinstance(kinds, dict):
        other = {"option", "spot", "linear", "inverse"} - set(venue.products)
        kinds["types"] = [one for one in kinds["types"] if one not in other]
    answers: list[Answer] = []
    exchange.session.hooks["response"].append(lambda answer, **_: answers.append(
        Answer(answer.status_code, answer.headers, answer.content)))  # fmt: skip
    failed = ""
    try:
        yield exchange
    except ccxt.BaseError as error:
        failed = type(error).__name__
    finally:
        exchange.session.close()
    if failed:
        raise _failed(venue, failed, answers[-1] if answers else None)


def _failed(venue: Venue, name: str, answer: Answer | None) -> FleetError:
    """Of a refusal ccxt keeps neither the status nor for how long."""
    if answer is None or answer.status not in TOO_MUCH:
        return VenueAway(f"{venue.name} does not tell its clock or instruments ({name})")
    words = answer.body.decode(errors="replace")[:WORDS]
    return verdict(venue, answer, None, Said("", words), int(time.time() * 1000))
