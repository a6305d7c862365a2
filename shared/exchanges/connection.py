"""One address at one venue: asks, and understands what comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from shared import telemetry
from shared.errors import FleetError, Unavailable
from shared.exchanges.answers import Answer, parsed
from shared.exchanges.errors import (
    Banned,
    ClockOff,
    KeyRefused,
    Malformed,
    Refused,
    Throttled,
    VenueAway,
)
from shared.exchanges.http import Http, Lost
from shared.exchanges.keys import Keys
from shared.exchanges.limits import Limiter, Priority
from shared.exchanges.markets import Markets
from shared.exchanges.public import ClockReading, read_clock, read_markets
from shared.exchanges.signing import Signed, Signer, said_in
from shared.exchanges.venue import Product, Request, Venue
from shared.exchanges.verdicts import verdict

T = TypeVar("T")

PAUSES = (0.25, 1.0)
"""Seconds before a second and a third try of what failed on the way."""

CLOCK_SECONDS = 600
"""A quartz clock drifts by less than 0.1 s in that time."""

CLOCK_WEIGHT = 3
MARKETS_WEIGHT = 40
"""As much as Binance spot takes, and its margin."""

PATIENCE_MS = 60_000
"""For what is asked for nobody in particular."""

MARKETS_SECONDS = 86_400
UNKNOWN_SECONDS = 600
"""An unknown symbol may be one that never becomes known: it loads the markets no more often."""

_OUTCOMES: tuple[tuple[type[FleetError], str], ...] = (
    (Banned, "banned"), (Throttled, "throttled"), (KeyRefused, "key_refused"),
    (Refused, "refused"), (ClockOff, "clock_off"), (Malformed, "malformed"),
    (Unavailable, "away"),
)  # fmt: skip


class Asker(Protocol):
    """What `client.Caller` has."""

    @property
    def account_id(self) -> int: ...
    @property
    def keys(self) -> Keys | None: ...
    @property
    def priority(self) -> Priority: ...
    @property
    def patience_ms(self) -> int: ...


class Connection:
    """Asks one venue from one address. Not thread-safe."""

    def __init__(
        self,
        venue: Venue,
        limiter: Limiter,
        http: Http,
        address: str | None,
        url: str | None,
    ) -> None:
        self._venue = venue
        self._limiter = limiter
        self._http = http
        self._address = address
        self._url = url
        self._clock: ClockReading | None = None
        self._reading_clock = asyncio.Lock()
        self._signer = Signer(venue, self._venue_ms, url)
        self._header = venue.weights.used_header

    async def ask(self, request: Request, caller: Asker) -> Any:
        """The parsed answer, numbers as text. Raises the types of `errors.py`."""
        clock_read_again = False
        tries = 0
        while True:
            await self._clock_known(caller.patience_ms)
            clock = self._clock
            try:
                answer = await self._once(request, caller)
            except FleetError as error:
                failed = error
            else:
                telemetry.count(
                    "fleet_exchange_requests_total", venue=self._venue.name, outcome="answered"
                )
                return answer
            self._count(failed)
            if isinstance(failed, ClockOff) and not clock_read_again:
                clock_read_again = True
                await self._read_clock(clock, caller.patience_ms)
            elif _passes(failed) and tries < len(PAUSES):
                # A throttled one waits for the limiter, which knows for how long.
                if not isinstance(failed, Throttled):
                    await asyncio.sleep(PAUSES[tries])
                tries += 1
            else:
                raise failed

    async def now_ms(self) -> int:
        """The venue's clock."""
        await self._clock_known()
        return self._venue_ms()

    async def load_markets(self) -> Markets:
        """Every instrument, by ccxt, in a thread."""
        await self._clock_known()
        grant = await self._limiter.reserve(MARKETS_WEIGHT, "fresh", 0, "", PATIENCE_MS)
        used = None
        try:
            found = await self._public(read_markets)
            used = found.used
        finally:
            self._limiter.settle(grant, used)
        return found.markets

    async def _public(self, read: Callable[[Venue, str | None, str | None], T]) -> T:
        """In a thread. A refusal is for every process, as any other."""
        try:
            return await asyncio.to_thread(read, self._venue, self._address, self._url)
        except Throttled as error:
            await self._pause(error)
            raise

    # -- one request -------------------------------------------------------------------------------

    async def _once(self, request: Request, caller: Asker) -> Any:
        began = time.monotonic()
        grant = await self._limiter.reserve(
            request.weight, caller.priority, caller.account_id, request.path, caller.patience_ms
        )
        telemetry.observe(
            "fleet_exchange_wait_seconds", time.monotonic() - began,
            venue=self._venue.name, priority=caller.priority,
        )  # fmt: skip
        counted: int | None = None
        sent = False
        try:
            signed = self._signer.sign(request, caller.keys)
            sent = True
            answer = await self._send(request.method, signed)
            if isinstance(answer, Lost):
                sent = answer.sent
                raise VenueAway(f"{self._venue.name} does not answer ({answer.why})")
            counted = self._counted(answer)
        finally:
            self._limiter.settle(grant, counted, sent=sent)
        return await self._understood(request, signed, answer, caller)

    async def _send(self, method: str, signed: Signed) -> Answer | Lost:
        """The answer, or why there is none."""
        try:
            return await self._http.ask(method, signed.url, signed.headers, signed.body)
        except Lost as lost:
            return lost

    async def _understood(
        self, request: Request, signed: Signed, answer: Answer, caller: Asker
    ) -> Any:
        value = None
        text = ""
        with suppress(ValueError):  # UnicodeDecodeError is one
            text = answer.body.decode()
            value = parsed(text)
        found = self._signer.judge(request, signed, answer, text, value)
        if found is None and value is not None and answer.status == _OK:
            return value
        said = said_in(value, signed, caller.keys)
        error = verdict(self._venue, answer, found, said, self._venue_ms())
        if isinstance(error, Throttled):
            await self._pause(error, None if error.everybody else caller.account_id)
        raise error

    async def _pause(self, error: Throttled, account_id: int | None = None) -> None:
        with suppress(Unavailable):  # without Redis nobody asks anyway
            await self._limiter.pause(error.retry_after_ms, account_id)

    def _counted(self, answer: Answer) -> int | None:
        text = answer.headers.get(self._header, "") if self._header else ""
        return int(text) if text.isascii() and text.isdigit() else None

    def _count(self, failed: FleetError) -> None:
        outcome = next((word for kind, word in _OUTCOMES if isinstance(failed, kind)), "failed")
        telemetry.count(
            "fleet_exchange_requests_total", venue=self._venue.name, outcome=outcome
        )

    # -- the venue's clock -------------------------------------------------------------------------

    def _venue_ms(self) -> int:
        """By the monotonic clock: a step of this host's time of day changes nothing."""
        clock = self._clock
        if clock is None:
            return int(time.time() * 1000)
        return clock.venue_ms + int(time.monotonic() * 1000 - clock.monotonic_ms)

    async def _clock_known(self, patience_ms: int = PATIENCE_MS) -> None:
        clock = self._clock
        if clock is None or time.monotonic() * 1000 - clock.monotonic_ms > CLOCK_SECONDS * 1000:
            await self._read_clock(clock, patience_ms)

    async def _read_clock(self, instead_of: ClockReading | None, patience_ms: int) -> None:
        """Once, for all who found it missing or wrong at the same time."""
        async with self._reading_clock:
            if self._clock is not instead_of:
                return
            grant = await self._limiter.reserve(CLOCK_WEIGHT, "fresh", 0, "", patience_ms)
            try:
                self._clock = await self._public(read_clock)
            finally:
                self._limiter.settle(grant, None)
            await self._limiter.set_clock(self._venue_ms, self._clock.doubt_ms)


class MarketsOfVenue:
    """The instruments of one venue, for every connection to it."""

    def __init__(self) -> None:
        self._found: Markets = {}
        self._loaded = float("-inf")
        self._loading = asyncio.Lock()

    async def get(
        self, connection: Connection, wanted: tuple[Product, str] | None
    ) -> Markets:
        if self._is_due(wanted):
            async with self._loading:
                if self._is_due(wanted):
                    self._found = await connection.load_markets()
                    self._loaded = time.monotonic()
        return self._found

    def _is_due(self, wanted: tuple[Product, str] | None) -> bool:
        age = time.monotonic() - self._loaded
        unknown = wanted is not None and wanted not in self._found
        return age > (UNKNOWN_SECONDS if unknown else MARKETS_SECONDS)


_OK = 200


def _passes(failed: FleetError) -> bool:
    """It may be gone a moment later. A ban is not."""
    return isinstance(failed, (VenueAway, Malformed, Throttled)) and not isinstance(failed, Banned)
