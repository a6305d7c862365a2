"""Gates: a listening port in front of a server, whose traffic can be held, slowed, muted or cut.

All gates of a storm share one event loop in one thread; the methods may be called from any other.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

CHUNK = 65_536
SLICE = 256  # of slow replies: something comes all the time, as on a poor line
MUTED_SECONDS = 0.2  # a reply that is lost on purpose: so long the client waits before the cut

Lost = Literal["request", "reply"]


class Pair:
    """One connection through a gate."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.muted = False

    def cut(self) -> None:
        for side in (self.client, self.server):
            with suppress(RuntimeError):
                side.transport.abort()


class Gate:
    """See the module. `port` is where clients go instead of the server's own port."""

    def __init__(self, loop: asyncio.AbstractEventLoop, target: int) -> None:
        self._loop = loop
        self._target = target
        self._server: asyncio.Server | None = None
        self._pairs: set[Pair] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._muted = False
        self._refusing = False
        self._lose_commit: Lost | None = None
        self._bytes_a_second = 0
        self.commits_lost = 0
        self.port = 0

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """In the loop's own thread."""
        if self._server is not None:
            self._server.close()
        self._cut()

    def hold(self) -> None:
        """Nothing goes through, nothing is lost: a network that stands still."""
        self._call(self._open.clear)

    def slow(self, bytes_a_second: int) -> None:
        """Replies of each connection trickle."""
        self._call(lambda: setattr(self, "_bytes_a_second", bytes_a_second))

    def mute(self) -> None:
        """Requests arrive, replies are lost."""
        self._call(lambda: setattr(self, "_muted", True))

    def lose_commit(self, what: Lost) -> None:
        """The next COMMIT (MySQL) loses its reply, or never arrives; then the connection is cut."""
        self._call(lambda: setattr(self, "_lose_commit", what))

    def cut(self) -> None:
        """Reset every connection."""
        self._call(self._cut)

    def refuse(self) -> None:
        """The server is away: connections are reset, and new ones as well."""
        self._call(self._refuse)

    def heal(self) -> None:
        """As at first. Connections that lost bytes are cut: nobody could use them."""
        self._call(self._heal)

    def server_side_ports(self) -> set[int]:
        """Our own ports of the connections to the server, as its process list shows them."""
        ports = set()
        for pair in list(self._pairs):
            name = pair.server.get_extra_info("sockname")
            if name:
                ports.add(int(name[1]))
        return ports

    def _call(self, act: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(act)

    def _cut(self) -> None:
        for pair in list(self._pairs):
            pair.cut()

    def _refuse(self) -> None:
        self._refusing = True
        self._cut()

    def _heal(self) -> None:
        self._muted = self._refusing = False
        self._bytes_a_second = 0
        self._lose_commit = None
        for pair in list(self._pairs):
            if pair.muted:
                pair.cut()
        self._open.set()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = Pair(writer, forth)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._requests(reader, pair), self._replies(back, pair))
        finally:
            self._pairs.discard(pair)

    async def _requests(self, reader: asyncio.StreamReader, pair: Pair) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._open.wait()
                if self._lose_commit and is_commit(data):
                    self.commits_lost += 1
                    what, self._lose_commit = self._lose_commit, None
                    if what == "request":
                        break
                    pair.muted = True
                    self._loop.call_later(MUTED_SECONDS, pair.cut)
                pair.server.write(data)
                await pair.server.drain()
        pair.cut()

    async def _replies(self, reader: asyncio.StreamReader, pair: Pair) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._open.wait()
                if self._muted or pair.muted:
                    pair.muted = True
                    continue
                await self._pass_on(data, pair.client)
        pair.cut()


    async def _pass_on(self, data: bytes, client: asyncio.StreamWriter) -> None:
        at = 0
        while self._bytes_a_second and at < len(data):
            client.write(data[at : at + SLICE])
            at += SLICE
            await asyncio.sleep(SLICE / self._bytes_a_second)
        client.write(data[at:])
        await client.drain()


class Gates:
    """The loop and thread of all gates."""

    def __init__(self) -> None:
        self._gates: list[Gate] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gates", daemon=True)
        self._thread.start()

    def make(self, target: int) -> Gate:
        gate = Gate(self._loop, target)
        asyncio.run_coroutine_threadsafe(gate.listen(), self._loop).result(5)
        self._gates.append(gate)
        return gate

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for gate in self._gates:
            gate.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def is_commit(data: bytes) -> bool:
    """Whether a MySQL request is COM_QUERY of a commit."""
    return data[4:5] == b"\x03" and data[5:].strip().lower() == b"commit"
