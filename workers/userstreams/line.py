"""One account's user stream: opened, listened to, kept alive, and opened again when it is lost.

    open ──> ready ──> told, told, … ──> lost (why) ──> a pause that grows ──> open

Between lost and ready there is a gap. That a connection is open proves nothing: it must answer
pings. One that answers and tells nothing is found by the sync, see `node.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from aiohttp import WSMsgType

from shared import telemetry
from shared.errors import FleetError, Unavailable
from shared.exchanges.client import Caller, Exchanges
from shared.exchanges.errors import KeyRefused, Malformed, Refused, UnknownMarket
from shared.exchanges.keys import Keys
from shared.exchanges.limits import Limits
from shared.exchanges.sockets import Socket, Sockets
from shared.exchanges.streams import Opened, Session, UserStream, shown, understood
from shared.exchanges.venue import Account, Found, Product, Request, Venue
from workers.sync.account import OpenKeys
from workers.sync.credentials import CredentialsError
from workers.sync.judge import time_ms
from workers.sync.run import REFUSED
from workers.userstreams.recorder import Recorder
from workers.userstreams.store import Cause, Linked

CONNECT_PATIENCE_MS = 600_000
"""Where many streams are opened at once, the venue's bound of connections makes them wait."""
REMEMBERED = 1_000
"""Fills that a line remembers to have heard."""

FillKey = tuple[str, str, str, str]
"""product, instrument, trade id, side"""
State = Literal["opening", "up", "down"]

_log = telemetry.log(__name__)


class Bounds(NamedTuple):
    """Seconds. lifetime: the venues end a connection after 24 h; ours ends a little earlier, each
    at another time. renew: a listen key is good for an hour. steady: a stream that was up for so
    long begins with the shortest pause again.
    """

    ready: float = 10.0
    ping: float = 20.0
    pong: float = 10.0
    renew: float = 1_800.0
    renew_again: float = 60.0
    listen_key: float = 3_300.0
    lifetime: float = 84_600.0
    pause: float = 0.5
    pause_most: float = 60.0
    steady: float = 60.0


class Desk(NamedTuple):
    """What all lines of a node share. chance: 0 to 1, so that lines do not move together."""

    exchanges: Exchanges
    sockets: Sockets
    limits: Limits
    venues: Mapping[tuple[str, Product], Venue]
    streams: Mapping[tuple[str, Product], UserStream]
    open_keys: OpenKeys
    recorder: Recorder
    chance: Callable[[], float]
    bounds: Bounds


class Line:
    """Belongs to one event loop; `run` once."""

    def __init__(self, desk: Desk, linked: Linked) -> None:
        self.linked = linked
        self.state: State = "down"
        self.trouble: str | None = None
        self.taken_over = False  # by another node: its gaps are none of ours any more
        self._desk = desk
        key = (linked.mark.venue, linked.mark.product)
        self._venue = desk.venues[key]
        self._stream = desk.streams[key]
        self._heard: dict[FillKey, int] = {}
        self._forgotten_ms = 0
        self._venue_less_monotonic_ms = 0
        self._up_ms = 0  # venue's time
        self._up_at = 0.0  # monotonic
        self._told_ms = 0  # when it last told anything
        self._spoke_at = 0.0  # monotonic: the last sign of life
        self._ended: asyncio.Future[Cause] | None = None
        self._is_ready = asyncio.Event()
        self._in_doubt = False  # a gap is open though it is up

    # -- what the node asks ------------------------------------------------------------------------

    def missed(self, fill: FillKey, executed_at_ms: int, margin_ms: int, grace_ms: int) -> bool:
        """Whether it should have told this fill: it was up by `margin_ms` when that happened, and
        `grace_ms` have passed. Of what is so old that it may have been forgotten it says no.
        """
        from_ms = max(self._up_ms + margin_ms, self._forgotten_ms + 1)
        return (
            self.state == "up"
            and fill not in self._heard
            and from_ms <= executed_at_ms <= self._now_ms() - grace_ms
        )

    def reconnect(self) -> None:
        """It is open, and dead: nothing since the last thing that it told is certain."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result("missed")

    @property
    def up_for(self) -> float:
        """Seconds; 0 while it is not up."""
        return time.monotonic() - self._up_at if self.state == "up" else 0.0

    def still_up(self) -> None:
        """The rows say that it is down: another node has written that, or it told something that we
        did not understand. From here on it is trusted again.
        """
        self._in_doubt = False
        self._desk.recorder.back(self.linked.account_id, self._now_ms())

    # -- its life ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until it is cancelled, or the account's key is refused."""
        account_id, venue = self.linked.account_id, self.linked.mark.venue
        recorder = self._desk.recorder
        recorder.lost(account_id, venue, "started", self.linked.complete_ms)
        failures = 0
        try:
            keys = self._desk.open_keys(account_id, *self.linked.sealed)
            while True:
                up_for = await self._once(keys)
                failures = 0 if up_for >= self._desk.bounds.steady else failures + 1
                await asyncio.sleep(self._pause(failures))
        except CredentialsError as error:
            recorder.refuse(account_id, str(error), self.linked.mark.keys_hash)
        except KeyRefused as error:
            reason = REFUSED.format(error.reason)
            recorder.refuse(account_id, reason, self.linked.mark.keys_hash)

    def _pause(self, failures: int) -> float:
        bounds = self._desk.bounds
        longest: float = min(bounds.pause * 2.0 ** min(failures, 16), bounds.pause_most)
        return longest * (0.5 + 0.5 * self._desk.chance())

    async def _once(self, keys: Keys) -> float:
        """One connection; for how many seconds it was up. Raises KeyRefused."""
        caller = Caller(self.linked.account_id, keys, self.linked.mark.egress)
        cause: Cause = "stopped"
        self.state = "opening"
        try:
            opened, socket = await self._open(caller)
            try:
                cause = await self._listen(opened, socket, caller)
            finally:
                await socket.close()
        except KeyRefused:
            cause = "disconnected"
            raise
        except FleetError as error:
            cause, self.trouble = "disconnected", str(error)
            _log.warning(
                "stream_not_opened", account=self.linked.account_id, error=self.trouble
            )
        finally:
            up_for = self.up_for
            self._down(cause)
        return up_for

    def _down(self, cause: Cause) -> None:
        was_up, self.state = self.state == "up", "down"
        if was_up and not self.taken_over:
            from_ms = self._told_ms if cause == "missed" else self._spoke_ms()
            venue = self.linked.mark.venue
            self._desk.recorder.lost(self.linked.account_id, venue, cause, from_ms)

    async def _open(self, caller: Caller) -> tuple[Opened, Socket]:
        desk, egress = self._desk, self.linked.mark.egress
        bound = self._venue._replace(
            ccxt_class=f"{self._venue.ccxt_class}.streams", weights=self._stream.connects,
            per_account={},
        )  # fmt: skip
        limiter = desk.limits.of(bound, egress)
        markets = await desk.exchanges.markets(self._venue, egress)
        grant = await limiter.reserve(1, "fresh", 0, "", CONNECT_PATIENCE_MS)
        sent = False
        try:
            now_ms = await desk.exchanges.now_ms(self._venue, egress)
            self._venue_less_monotonic_ms = now_ms - _monotonic_ms()
            account = Account(
                self.linked.account_id, self._venue.products, markets, now_ms,
                self.linked.mark.since_ms,
            )  # fmt: skip
            assert caller.keys is not None
            opening = self._stream.open(account, caller.keys)
            opened = await desk.exchanges.read(self._venue, opening, caller)
            sent = True
            return opened, await desk.sockets.open(opened.url, egress)
        finally:
            limiter.settle(grant, None, sent=sent)

    # -- listening ---------------------------------------------------------------------------------

    async def _listen(self, opened: Opened, socket: Socket, caller: Caller) -> Cause:
        """Until it is lost. Raises KeyRefused."""
        self._spoke_at = time.monotonic()
        self._ended = asyncio.get_running_loop().create_future()
        self._is_ready = asyncio.Event()
        for text in opened.first:
            await _say(socket, text)
        if not opened.first:
            self._ready()
        tasks: set[asyncio.Future[Cause]] = {
            asyncio.ensure_future(self._hear(opened.session, socket, caller)),
            asyncio.ensure_future(self._keep(socket, caller)),
            self._ended,
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ended = {one.result() for one in done}
            return ended.pop()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear(self, session: Session, socket: Socket, caller: Caller) -> Cause:
        while True:
            message = await socket.receive()
            self._spoke_at = time.monotonic()
            if message.type == WSMsgType.TEXT:
                cause = await self._heard_text(session, socket, caller, message.data)
                if cause is not None:
                    return cause
            elif message.type == WSMsgType.PING:
                if not await _sent(socket.pong(message.data)):
                    return "disconnected"
            elif message.type != WSMsgType.PONG:
                return "disconnected"

    async def _heard_text(
        self, session: Session, socket: Socket, caller: Caller, text: str
    ) -> Cause | None:
        account_id = self.linked.account_id
        try:
            heard = understood(session, text)
        except UnknownMarket as error:
            self._not_understood(error)
            # Where the list has it by now, the stream is opened anew with that list.
            return "unread" if await self._is_listed(error.wanted, caller) else None
        except Malformed as error:
            self._not_understood(error)
            return None
        if heard.events:
            self._told(heard.events)
        for one in heard.say:
            if not await _say(socket, one):
                return "disconnected"
        if heard.word == "ready":
            self._ready()
        elif heard.word == "refused":
            raise KeyRefused(shown(heard.says, caller.keys))
        elif heard.word == "expired":
            self.trouble = shown(heard.says, caller.keys)
            say = _log.info if self.state == "up" else _log.warning
            say("stream_ends", account=account_id, says=self.trouble)
            return "expired"
        return None

    async def _is_listed(self, wanted: tuple[Product, str], caller: Caller) -> bool:
        try:
            return wanted in await self._desk.exchanges.markets(self._venue, caller.egress, wanted)
        except Unavailable:
            return False

    def _not_understood(self, error: FleetError) -> None:
        """The sync reads what it was; the stream goes on, for all else that it tells."""
        if not self._in_doubt:
            self._in_doubt = True
            account_id, venue = self.linked.account_id, self.linked.mark.venue
            _log.warning("stream_not_understood", account=account_id, error=str(error))
            self._desk.recorder.lost(account_id, venue, "unread", self._now_ms())

    def _ready(self) -> None:
        if self.state != "up":
            self.state, self.trouble = "up", None
            self._up_ms, self._up_at = self._now_ms(), time.monotonic()
            self._told_ms = self._up_ms
            self._is_ready.set()
            self._in_doubt = False
            self._desk.recorder.back(self.linked.account_id, self._up_ms)

    def _told(self, events: Sequence[Found]) -> None:
        """What happened before the account's history begins is in its opening."""
        known = [one for one in events if time_ms(one) >= self.linked.mark.since_ms]
        for one in known:
            if one.type == "order.filled.1":
                self._remember(one)
        self._told_ms = self._now_ms()
        mark = self.linked.mark
        self._desk.recorder.told(self.linked.account_id, mark.venue, self._told_ms, known)

    def _remember(self, fill: Found) -> None:
        body = fill.body
        key = (body["product"], body["instrument"], body["trade_id"], body["side"])
        self._heard[key] = time_ms(fill)
        if len(self._heard) > REMEMBERED:
            forgotten_ms = self._heard.pop(next(iter(self._heard)))
            self._forgotten_ms = max(self._forgotten_ms, forgotten_ms)

    async def _keep(self, socket: Socket, caller: Caller) -> Cause:
        bounds = self._desk.bounds
        began = time.monotonic()
        lifetime = bounds.lifetime * (1 - 0.1 * self._desk.chance())
        renewals = _Renewals(began, began + bounds.renew)
        try:
            await asyncio.wait_for(self._is_ready.wait(), bounds.ready)
        except TimeoutError:
            return "silent"
        while True:
            asked = time.monotonic()
            if not await _say(socket, self._stream.ping):
                return "disconnected"
            await asyncio.sleep(bounds.pong)
            if self._spoke_at < asked:
                return "silent"
            if time.monotonic() - began > lifetime:
                return "renewed"
            renewals = await self._renewed(renewals, caller)
            if time.monotonic() - renewals.last > bounds.listen_key:
                return "expired"
            await asyncio.sleep(max(bounds.ping - bounds.pong, 0))

    async def _renewed(self, renewals: _Renewals, caller: Caller) -> _Renewals:
        """Of the listen key, when it is time. Where there is none, it is as good as new."""
        bounds, now = self._desk.bounds, time.monotonic()
        if self._stream.renew is None:
            return renewals._replace(last=now)
        if now < renewals.next:
            return renewals
        try:
            await self._desk.exchanges.read(self._venue, _asked(self._stream.renew()), caller)
        except (Refused, KeyRefused):
            # There is no such listen key. Whether the account's own is good, a new one will tell.
            return renewals._replace(last=float("-inf"))
        except Unavailable:
            return renewals._replace(next=now + bounds.renew_again)
        return _Renewals(now, now + bounds.renew)

    # -- the venue's clock -------------------------------------------------------------------------

    def _now_ms(self) -> int:
        return self._venue_less_monotonic_ms + _monotonic_ms()

    def _spoke_ms(self) -> int:
        return self._venue_less_monotonic_ms + int(self._spoke_at * 1000)


class _Renewals(NamedTuple):
    """Of a listen key; monotonic seconds."""

    last: float
    next: float


def _asked(request: Request) -> Generator[Request, Any, None]:
    yield request


async def _say(socket: Socket, text: str) -> bool:
    """False: the connection is gone. "": a websocket ping."""
    return await _sent(socket.send_str(text) if text else socket.ping())


async def _sent(sending: Any) -> bool:
    try:
        await sending
    except (ConnectionError, OSError, RuntimeError):  # RuntimeError: it was closed meanwhile
        return False
    return True


def _monotonic_ms() -> int:
    return int(time.monotonic() * 1000)
