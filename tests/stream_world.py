"""A user stream of the local exchange, opened and understood as the fleet does, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType

from deploy.exchange.server import Running
from shared.exchanges.sockets import Socket, Sockets
from shared.exchanges.stream_table import STREAMS
from shared.exchanges.streams import Opened, UserStream, understood
from shared.exchanges.venue import Found
from tests.venue_world import KEYS, Sync

PATIENCE = 5.0


@dataclass
class Listener:
    """events: everything that was told; words: of the session, without empty ones."""

    loop: asyncio.AbstractEventLoop
    stream: UserStream
    opened: Opened
    socket: Socket
    events: list[Found] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    says: str = ""
    closed: bool = False

    def hear(self) -> list[Found]:
        """What was told since the last time; all of it, because a pong comes after it."""
        before = len(self.events)
        self.loop.run_until_complete(asyncio.wait_for(self._until_pong(), PATIENCE))
        return self.events[before:]

    def hear_until(self, word: str) -> None:
        self.loop.run_until_complete(asyncio.wait_for(self._until(word), PATIENCE))

    async def _until_pong(self) -> None:
        await self.socket.ping()
        while not self.closed:
            if await self._one() == WSMsgType.PONG:
                return

    async def _until(self, word: str) -> None:
        while word not in self.words and not self.closed:
            await self._one()

    async def _one(self) -> WSMsgType:
        message = await self.socket.receive()
        if message.type == WSMsgType.TEXT:
            heard = understood(self.opened.session, message.data)
            self.events += heard.events
            self.words += [heard.word] if heard.word else []
            self.says = heard.says or self.says
            for text in heard.say:
                await self.socket.send_str(text)
        elif message.type not in {WSMsgType.PING, WSMsgType.PONG}:
            self.closed = True
        return WSMsgType(message.type)


@contextmanager
def opened_stream(sync: Sync) -> Iterator[Listener]:
    """What the venue says to the first texts is still to be heard."""
    stream = STREAMS[sync.venue, sync.product]
    loop = asyncio.new_event_loop()
    sockets: list[Sockets] = []

    async def open_(opened: Opened) -> Socket:
        sockets.append(Sockets({"default": None}, url=sync.running.url))
        socket = await sockets[0].open(opened.url, "default")
        for text in opened.first:
            await socket.send_str(text)
        return socket

    try:
        opened = sync.ask(stream.open(sync.account, KEYS))
        listener = Listener(loop, stream, opened, loop.run_until_complete(open_(opened)))
        yield listener
        loop.run_until_complete(listener.socket.close())
    finally:
        for one in sockets:
            loop.run_until_complete(one.close())
        loop.close()


@contextmanager
def listening(sync: Sync) -> Iterator[Listener]:
    """Ready: from here on everything is told."""
    with opened_stream(sync) as listener:
        if listener.opened.first:
            listener.hear_until("ready")
        yield listener


def fault(running: Running, sync: Sync, kind: str) -> None:
    """Of the account's stream; there must be one."""
    done: Any = running.do(lambda desk: desk.stream_fault(kind, sync.venue, KEYS.api_key))
    assert done == 1
