"""HTTP/1.1 from one local address: signed requests, and their whole answers. llhttp parses.

A client for everything (cookies, redirects, proxies, streams, addresses as objects) takes a quarter
of what a synced account costs, and nothing of that is wanted here: see decisions/0024.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import zlib
from collections.abc import Mapping
from functools import lru_cache
from socket import SOCK_STREAM
from typing import cast

import httptools
from aiohappyeyeballs import addr_to_addr_infos, start_connection

from shared.exchanges.answers import Answer, Headers

SECONDS = 15.0
"""From the question to the end of its answer, whatever is waited for."""

CONNECT_SECONDS = 5.0
OTHER_FAMILY_SECONDS = 0.25
"""Then an address of the other family is tried as well (RFC 8305)."""

KEEP_ALIVE_SECONDS = 50.0
"""Below what the venues' own servers keep an idle connection for."""

MOST_BYTES = 64 << 20
"""Of an answer; the largest page of a history is a fiftieth of it."""

_ORIGIN = re.compile(r"(https?)://([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?")
_TARGET = re.compile(r"/[\x21-\x7e]*")
_HEADER = re.compile(r"[\x21-\x39\x3b-\x7e]+: [\x20-\x7e]*")


class Lost(Exception):  # noqa: N818 - says what happened
    """There is no answer. why: one word, nothing of the address. sent: it may have arrived."""

    def __init__(self, why: str, *, sent: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.sent = sent


class Http:
    """Connections that are kept, to any host. Not thread-safe: of one event loop.

    address: the local one, None: not bound. most: connections to one host. tls: whom to trust
    instead of the system's authorities.
    """

    def __init__(
        self, address: str | None, most: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self._address = address
        self._most = most
        self._tls = tls
        self._hosts: dict[str, _Host] = {}
        self._closed = False

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str] | None, body: str | None
    ) -> Answer:
        """The answer, whatever its status; a redirect is not followed. Raises Lost.

        A GET goes out once more where a kept connection turns out to have ended before it.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + SECONDS
        slash = url.find("/", len("https://"))
        host = self._hosts.get(url[:slash]) or self._host(url[:slash])
        raw = host.request(method, url[slash:], headers, body)
        async with host.slots:
            line = host.kept(loop.time())
            try:
                if line is not None:
                    return await self._asked(host, line, raw, ends)
            except _EndedBefore:
                if method != "GET":
                    raise
            return await self._asked(host, await self._open(host, ends), raw, ends)

    async def close(self) -> None:
        """Idle connections end now, others after their answer."""
        self._closed = True
        for host in self._hosts.values():
            while host.idle:
                host.idle.pop().close()
        await asyncio.sleep(0)

    def _host(self, origin: str) -> _Host:
        found = self._hosts[origin] = _Host(origin, self._most)
        return found

    async def _asked(self, host: _Host, line: _Line, raw: bytes, ends: float) -> Answer:
        answer = await line.ask(raw, ends)
        if line.reusable and not self._closed:
            host.idle.append(line)
        else:
            line.close()
        return inflated(answer) if answer.headers.get("Content-Encoding", "") == "gzip" else answer

    async def _open(self, host: _Host, ends: float) -> _Line:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(ends, loop.time() + CONNECT_SECONDS)):
                return await self._connected(loop, host)
        except (OSError, ValueError) as error:  # TimeoutError and what ssl raises are OSErrors
            why = type(error).__name__
        raise Lost(why, sent=False)

    async def _connected(self, loop: asyncio.AbstractEventLoop, host: _Host) -> _Line:
        found = await loop.getaddrinfo(host.name, host.port, type=SOCK_STREAM)
        socket = await start_connection(
            found,
            local_addr_infos=addr_to_addr_infos((self._address, 0)) if self._address else None,
            happy_eyeballs_delay=OTHER_FAMILY_SECONDS,
            loop=loop,
        )
        try:
            tls = (self._tls or _system_trust()) if host.tls else None
            name = host.name if host.tls else None
            _, line = await loop.create_connection(
                lambda: _Line(loop), sock=socket, ssl=tls, server_hostname=name
            )
        except BaseException:
            socket.close()
            raise
        return line


class _Host:
    """A scheme, name and port. idle: its kept connections, the one used last at the end."""

    def __init__(self, origin: str, most: int) -> None:
        found = _ORIGIN.fullmatch(origin)
        if found is None:
            raise ValueError("the address of a venue is not http(s)://name[:port]/path")
        self.tls = found[1] == "https"
        self.name = found[2].strip("[]")
        self.port = int(found[3] or (443 if self.tls else 80))
        self.slots = asyncio.Semaphore(most)
        self.idle: list[_Line] = []
        self._lines = (
            f" HTTP/1.1\r\nHost: {origin.partition('://')[2]}\r\nAccept: */*\r\n"
            "Accept-Encoding: gzip\r\nUser-Agent: tradefleet\r\n"
        )

    def kept(self, now: float) -> _Line | None:
        """One that is still open, as far as we know."""
        while self.idle and now - self.idle[0].used_at > KEEP_ALIVE_SECONDS:
            self.idle.pop(0).close()
        while self.idle:
            line = self.idle.pop()
            if line.reusable:
                return line
        return None

    def request(
        self, method: str, target: str, headers: Mapping[str, str] | None, body: str | None
    ) -> bytes:
        """As it leaves. ValueError, without the value, for what could end a line early."""
        lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
        if not (_TARGET.fullmatch(target) and all(map(_HEADER.fullmatch, lines))):
            raise ValueError("a request holds a character that HTTP does not allow there")
        content = (body or "").encode()
        if content or method != "GET":
            lines.append(f"Content-Length: {len(content)}")
        head = f"{method} {target}{self._lines}" + "".join(f"{line}\r\n" for line in lines)
        return f"{head}\r\n".encode() + content


class _EndedBefore(Lost):
    """The connection ended before anything of an answer came."""


class _Line(asyncio.Protocol):
    """One connection: a question, its answer, the next question.

    reusable: open, and nothing came that was not asked for. used_at: of the loop's clock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.reusable = False
        self.used_at = 0.0
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Answer] | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._size = 0
        self._in_body = False

    async def ask(self, raw: bytes, ends: float) -> Answer:
        """ends: of the loop's clock. Raises Lost."""
        waiter: asyncio.Future[Answer] = self._loop.create_future()
        self._waiter = waiter
        if self._transport is None or self._transport.is_closing():
            self._fail(_EndedBefore("ConnectionClosed"))
        else:
            self._size = 0
            self._transport.write(raw)
        timer = self._loop.call_at(ends, self._expire)
        try:
            return await waiter
        finally:
            timer.cancel()
            if self._waiter is not None:  # nobody waits for the answer any more
                self.close()

    def _expire(self) -> None:
        self._fail(Lost("TimeoutError"))

    def close(self) -> None:
        self.reusable = False
        if self._transport is not None:
            self._transport.close()

    # -- what the connection says ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass
        self.reusable = True

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        if self._waiter is None:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(Lost(type(error).__name__))
        if self._size > MOST_BYTES:
            self._fail(Lost("TooLong"))

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        if error is None and self._in_body and not _has_length(self._headers):
            self._complete(reusable=False)
        elif not self._size:
            self._fail(_EndedBefore("ConnectionClosed"))
        else:
            self._fail(Lost("ConnectionClosed"))

    # -- what the parser says ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._waiter is None:
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_body = True

    def on_body(self, some: bytes) -> None:
        self._body.append(some)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < _FINAL:  # the answer is still to come
            self._headers, self._in_body = [], False
        else:
            self._complete(reusable=self._parser.should_keep_alive())

    def _complete(self, *, reusable: bool) -> None:
        answer = Answer(
            self._parser.get_status_code(), Headers(self._headers), b"".join(self._body)
        )
        self._headers, self._body, self._in_body = [], [], False
        self.reusable = self.reusable and reusable
        self.used_at = self._loop.time()
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)

    def _fail(self, error: Lost) -> None:
        waiter, self._waiter = self._waiter, None
        self.close()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)


_FINAL = 200


def inflated(answer: Answer) -> Answer:
    """Out of gzip. Raises Lost for what is cut, no gzip, or longer than MOST_BYTES."""
    unpack = zlib.decompressobj(wbits=31)
    try:
        body = unpack.decompress(answer.body, MOST_BYTES)
    except zlib.error:
        body = b""
    if not unpack.eof:
        raise Lost("BrokenGzip")
    return answer._replace(body=body)


def _has_length(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in headers)


@lru_cache(maxsize=1)
def _system_trust() -> ssl.SSLContext:
    """Certificates and names are checked. Once per process: to read the authorities takes long."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
