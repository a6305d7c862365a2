"""The client of HTTP against servers that send exactly these bytes."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from shared.exchanges import http
from shared.exchanges.http import Http, Lost

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Weight: 12\r\n\r\nhello"
PACKED = gzip.compress(b"hello")


@dataclass
class Script:
    """A server. answers: in turn, as pieces; the last one for ever; b"" ends the connection."""

    answers: list[Sequence[bytes]]
    port: int = 0
    asked: list[bytes] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    held: asyncio.Event | None = None  # answers wait for it
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    under_way: int = 0
    most: int = 0

    def url(self, path: str = "/a?b=1") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(writer.get_extra_info("peername")[0])
        try:
            while True:
                self.asked.append(await reader.readuntil(b"\r\n\r\n"))
                self.arrived.release()
                self.under_way += 1
                self.most = max(self.most, self.under_way)
                if self.held is not None:
                    await self.held.wait()
                self.under_way -= 1
                for piece in self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]:
                    if not piece:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(
    *answers: Sequence[bytes], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Script]:
    script = Script(list(answers))
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0, ssl=tls)
    script.port = server.sockets[0].getsockname()[1]
    async with server:
        yield script


Test = Callable[[Script, Http], Awaitable[None]]


def run(test: Test, *answers: Sequence[bytes], most: int = 64) -> None:
    """On the loop of the sync; on that of the standard library everything else here is run."""

    async def inside() -> None:
        async with listening(*answers) as script:
            client = Http(None, most)
            try:
                await test(script, client)
            finally:
                await client.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(inside())


async def get(script: Script, client: Http) -> tuple[int, bytes]:
    found = await client.ask("GET", script.url(), None, None)
    return found.status, found.body


# -- answers ---------------------------------------------------------------------------------------

ANSWERS = [
    HELLO,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO,
    b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b"
    % (len(PACKED), PACKED),
]


@given(answer=st.sampled_from(ANSWERS), data=st.data())
def test_an_answer_is_whole_however_it_is_cut_into_pieces(
    answer: bytes, data: st.DataObject
) -> None:
    cuts = data.draw(st.sets(st.integers(1, len(answer) - 1)))
    places = [0, *sorted(cuts), len(answer)]
    pieces = [answer[begin:end] for begin, end in pairwise(places)]

    async def test(script: Script, client: Http) -> None:
        assert await get(script, client) == (200, b"hello")
        assert await get(script, client) == (200, b"hello")
        assert len(script.peers) == 1

    run(test, pieces)


def test_a_body_without_a_length_ends_with_its_connection() -> None:
    async def test(script: Script, client: Http) -> None:
        assert await get(script, client) == (200, b"hello")
        assert await get(script, client) == (200, b"hello")
        assert len(script.peers) == 2

    run(test, [b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo", b""])


def test_headers_are_found_in_any_case() -> None:
    async def test(script: Script, client: Http) -> None:
        found = await client.ask("GET", script.url(), None, None)
        assert found.headers.get("x-WEIGHT", "") == "12"
        assert found.headers.get("absent", "none") == "none"

    run(test, [HELLO])


def test_a_redirect_is_an_answer() -> None:
    async def test(script: Script, client: Http) -> None:
        assert await get(script, client) == (302, b"")
        assert len(script.asked) == 1

    run(test, [b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"])


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", b""], "ConnectionClosed"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", b""],
         "ConnectionClosed"),
        ([b"HTTP/1.1 200 OK\r\nConte", b""], "ConnectionClosed"),
        ([b""], "ConnectionClosed"),
        ([b"SSH-2.0-OpenSSH\r\n"], "HttpParserError"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"],
         "HttpParserError"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"],
         "HttpParserError"),
        ([b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"],
         "HttpParserUpgrade"),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"],
         "BrokenGzip"),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\n"
          + PACKED[:12]], "BrokenGzip"),
    ],
)  # fmt: skip
def test_what_is_no_whole_answer_is_lost(answer: list[bytes], why: str) -> None:
    async def test(script: Script, client: Http) -> None:
        with pytest.raises(Lost, match=why) as caught:
            await get(script, client)
        assert caught.value.sent
        assert await get(script, client) == (200, b"hello")

    run(test, answer, [HELLO])


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_BYTES", 1_000)
    bomb = gzip.compress(bytes(100_000))

    async def test(script: Script, client: Http) -> None:
        with pytest.raises(Lost, match="TooLong"):
            await get(script, client)
        with pytest.raises(Lost, match="TooLong"):  # headers
            await get(script, client)
        with pytest.raises(Lost, match="BrokenGzip"):
            await get(script, client)

    run(
        test,
        [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 400] * 9],
        [b"HTTP/1.1 200 OK\r\n", *[b"A: " + b"x" * 400] * 9],
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb),
         bomb],
    )  # fmt: skip


# -- questions -------------------------------------------------------------------------------------


def test_a_question_leaves_as_it_was_signed() -> None:
    async def test(script: Script, client: Http) -> None:
        await client.ask("GET", script.url("/a%20b?c=%2C&d="), {"X-Key": "k"}, None)
        await client.ask("POST", script.url("/a"), {"Content-Type": "t"}, "x=é")
        await client.ask("POST", script.url("/a"), None, None)
        first, second, third = (asked.decode().split("\r\n") for asked in script.asked)
        assert first[0] == "GET /a%20b?c=%2C&d= HTTP/1.1"
        assert {f"Host: 127.0.0.1:{script.port}", "X-Key: k"} < set(first)
        assert not any(line.startswith("Content-Length") for line in first)
        assert {"Content-Type: t", "Content-Length: 4"} < set(second)
        assert "Content-Length: 0" in third

    # The server does not read bodies: each connection ends with its answer.
    run(test, [HELLO.replace(b"X-Weight: 12", b"Connection: close"), b""])


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/a b", {}),
        ("/a\r\nX: y", {}),
        ("/é", {}),
        ("/a", {"X-Key": "canary\r\nHost: elsewhere"}),
        ("/a", {"X-Key": "canary\n"}),
        ("/a", {"X-Kéy": "canary"}),
    ],
)
def test_nothing_ends_a_line_early(path: str, headers: dict[str, str]) -> None:
    async def test(script: Script, client: Http) -> None:
        with pytest.raises(ValueError, match="does not allow") as caught:
            await client.ask("GET", script.url(path), headers, None)
        assert "canary" not in str(caught.value)
        assert script.peers == []

    run(test, [HELLO])


@pytest.mark.parametrize("url", ["ftp://a/b", "http://a", "http://u:p@a/b", "http://a:b/c", "/a"])
def test_an_address_of_another_kind_is_a_bug(url: str) -> None:
    async def test(_: Script, client: Http) -> None:
        with pytest.raises(ValueError, match="the address of a venue"):
            await client.ask("GET", url, None, None)

    run(test, [HELLO])


# -- connections -----------------------------------------------------------------------------------


def test_a_connection_serves_one_question_after_the_other() -> None:
    async def test(script: Script, client: Http) -> None:
        for _ in range(5):
            await get(script, client)
        assert len(script.peers) == 1
        await asyncio.gather(*(get(script, client) for _ in range(5)))
        assert len(script.peers) <= 5

    run(test, [HELLO])


def test_no_more_connections_than_allowed() -> None:
    async def test(script: Script, client: Http) -> None:
        script.held = asyncio.Event()
        asked = [asyncio.create_task(get(script, client)) for _ in range(7)]
        await script.arrived.acquire()
        await script.arrived.acquire()
        script.held.set()
        assert {status for status, _ in await asyncio.gather(*asked)} == {200}
        assert (script.most, len(script.peers)) == (2, 2)

    run(test, [HELLO], most=2)


def test_an_old_connection_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(script: Script, client: Http) -> None:
        await get(script, client)
        monkeypatch.setattr(http, "KEEP_ALIVE_SECONDS", -1.0)
        await get(script, client)
        assert len(script.peers) == 2

    run(test, [HELLO])


def test_a_kept_connection_that_ended_costs_a_get_nothing() -> None:
    async def test(script: Script, client: Http) -> None:
        assert await get(script, client) == (200, b"hello")
        assert await get(script, client) == (200, b"hello")
        assert len(script.peers) == 2

    run(test, [HELLO, b""], [HELLO])


def test_what_was_not_asked_for_ends_a_connection() -> None:
    async def test(script: Script, client: Http) -> None:
        assert await get(script, client) == (200, b"hello")
        assert await get(script, client) == (201, b"")
        assert len(script.peers) == 2

    late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    run(test, [HELLO + late], [b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"])


def test_an_order_that_may_have_arrived_is_not_sent_twice() -> None:
    async def test(script: Script, client: Http) -> None:
        await get(script, client)
        with pytest.raises(Lost) as caught:
            await client.ask("POST", script.url(), None, None)
        assert caught.value.sent
        assert len(script.asked) == 2

    run(test, [HELLO], [b""])


def test_an_answer_that_nobody_waits_for_reaches_nobody_else() -> None:
    async def test(script: Script, client: Http) -> None:
        script.held = asyncio.Event()
        asked = asyncio.create_task(get(script, client))
        await script.arrived.acquire()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        script.held.set()
        assert await get(script, client) == (201, b"")
        assert len(script.peers) == 2

    run(test, [HELLO], [b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"])


def test_a_venue_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(script: Script, client: Http) -> None:
        script.held = asyncio.Event()
        monkeypatch.setattr(http, "SECONDS", 0.05)
        with pytest.raises(Lost, match="TimeoutError") as caught:
            await get(script, client)
        assert caught.value.sent
        monkeypatch.undo()
        script.held.set()
        await get(script, client)
        assert len(script.peers) == 2

    run(test, [HELLO])


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a", "http://nowhere.invalid/a"])
def test_what_cannot_be_reached_was_not_sent(url: str) -> None:
    async def test(_: Script, client: Http) -> None:
        with pytest.raises(Lost) as caught:
            await client.ask("GET", url, None, None)
        assert not caught.value.sent
        assert caught.value.__context__ is None

    run(test, [HELLO])


def test_a_client_sends_from_its_address() -> None:
    async def test() -> None:
        async with listening([HELLO]) as script:
            client = Http("127.0.0.2", 1)
            await get(script, client)
            await client.close()
            assert script.peers == ["127.0.0.2"]

    asyncio.run(test())
