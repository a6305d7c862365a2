"""User streams: what happens to an account, told at once by websocket, and what can go wrong there.

A venue's file says how a connection begins and turns a `Happened` into messages; here they are
queued, spoiled by the faults that are set, and sent in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from aiohttp import WSMsgType, web

from deploy.exchange.state import Account, Happened

FAULTS = (
    "dead",  # open, but nothing comes any more, no pong either
    "mute",  # pings are answered, events are lost
    "duplicated",  # every event twice
    "reordered",  # one type lags behind the others; in order within its type
    "dropped",  # the connection is gone without a close frame
    "closed",  # with a close frame
    "expired",  # Binance: listenKeyExpired, and nothing after it
)
LOST = {"dead", "mute", "expired"}
PING_S = 180


class Message(NamedTuple):
    """type: the venue's name of this sort of event; order holds only within it."""

    type: str
    body: Any


Translate = Callable[[Happened], Sequence[Message]]


@dataclass(slots=True, eq=False)
class Connection:
    """One open websocket.

    account: None until it said who it is. subjects: what was asked for. expire: what is said when
    the fault `expired` is set. said_at: of the loop's clock, when anything was last sent.
    """

    venue: str
    socket: web.WebSocketResponse
    request: web.Request
    translate: Translate
    account: Account | None = None
    subjects: set[str] = field(default_factory=set)
    faults: set[str] = field(default_factory=set)
    expire: Callable[[], Any] | None = None
    said_at: float = 0.0
    _queue: asyncio.Queue[str | bytes] = field(default_factory=asyncio.Queue)
    """Texts, and what is sent back in pongs, so that a pong comes after what was told before it."""
    _held: list[Message] = field(default_factory=list)

    def listen_to(self, account: Account) -> None:
        self.account = account
        account.listeners.append(self.happened)

    def happened(self, happened: Happened) -> None:
        """A listener of the account: rows that are shown late are not told."""
        if self.faults & LOST:
            return
        if (happened.fill and happened.fill.hidden) or any(row.hidden for row in happened.entries):
            return
        self.tell(self.translate(happened))

    def tell(self, messages: Sequence[Message]) -> None:
        if "reordered" in self.faults and messages:
            lagging = messages[0].type
            behind = [message for message in messages if message.type == lagging]
            messages = [*(one for one in messages if one.type != lagging), *self._held]
            self._held = behind
        for message in messages:
            self.say(message.body)
            if "duplicated" in self.faults:
                self.say(message.body)

    def say(self, body: Any) -> None:
        """JSON; text as it is; bytes as a pong."""
        if "dead" not in self.faults:
            self.said_at = asyncio.get_running_loop().time()
            plain = isinstance(body, str | bytes)
            self._queue.put_nowait(body if plain else orjson.dumps(body).decode())

    def set_fault(self, kind: str) -> None:
        if kind == "dropped" and self.request.transport is not None:
            self.request.transport.abort()
        elif kind == "closed":
            asyncio.ensure_future(self.socket.close())  # noqa: RUF006 - it ends the connection
        else:
            if kind == "expired" and self.expire is not None:
                self.say(self.expire())
            self.faults.add(kind)

    def clear_faults(self) -> None:
        """What lagged behind is sent; what was lost stays lost."""
        self.faults.clear()
        held, self._held = self._held, []
        self.tell(held)

    async def send(self) -> None:
        """Send what is queued until the connection ends; ping when nothing was said for long."""
        try:
            while True:
                try:
                    item = await asyncio.wait_for(self._queue.get(), PING_S)
                except TimeoutError:
                    if "dead" not in self.faults:
                        await self.socket.ping()
                    continue
                if isinstance(item, str):
                    await self.socket.send_str(item)
                else:
                    await self.socket.pong(item)
        except ConnectionError:
            return


class Streams:
    """Every open connection."""

    def __init__(self) -> None:
        self.open: list[Connection] = []

    def of(self, venue: str, api_key: str = "") -> Iterator[Connection]:
        for connection in list(self.open):
            account = connection.account
            if connection.venue == venue and (
                not api_key or (account is not None and account.api_key == api_key)
            ):
                yield connection

    def fault(self, kind: str, venue: str, api_key: str = "") -> int:
        """Set it on what is open now; how many. A new connection has no faults."""
        if kind not in FAULTS:
            raise ValueError(f"no fault {kind} of streams; there are {', '.join(FAULTS)}")
        found = list(self.of(venue, api_key))
        for connection in found:
            connection.set_fault(kind)
        return len(found)

    def clear_faults(self) -> None:
        for connection in self.open:
            connection.clear_faults()

    async def serve(
        self, connection: Connection, hear: Callable[[str], None], idle_s: float | None = None
    ) -> web.WebSocketResponse:
        """Until one side ends it. hear: each text of the client. idle_s: how long both may say
        nothing.
        """
        socket, loop = connection.socket, asyncio.get_running_loop()
        self.open.append(connection)
        sending = asyncio.ensure_future(connection.send())
        try:
            while True:
                try:
                    message = await socket.receive(idle_s)
                except TimeoutError:
                    if loop.time() - connection.said_at < (idle_s or 0):
                        continue
                    await socket.close(message=b"no data")
                    break
                if message.type == WSMsgType.TEXT and "dead" not in connection.faults:
                    hear(message.data)
                elif message.type == WSMsgType.PING:
                    connection.say(bytes(message.data))
                elif message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED,
                                      WSMsgType.ERROR}:  # fmt: skip
                    break
        except ConnectionError:
            pass  # the other side is gone
        finally:
            self.open.remove(connection)
            sending.cancel()
            if connection.account is not None:
                connection.account.listeners.remove(connection.happened)
        return socket


async def accept(request: web.Request) -> web.WebSocketResponse:
    """Pings are answered by hand, so that a connection can be silently dead."""
    socket = web.WebSocketResponse(autoping=False, max_msg_size=64_000)
    await socket.prepare(request)
    return socket
