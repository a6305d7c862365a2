"""A venue that answers what the test wrote down, on the paths of Binance, Bybit and OKX."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from aiohttp import web

from shared.endpoints import RedisSettings
from shared.exchanges.client import Caller, Exchanges
from shared.exchanges.keys import Keys
from shared.exchanges.limits import Limits, limits_client
from shared.exchanges.venue import Request, Venue, Weights
from tests.shared.exchanges.limited import no_permissions

HEADER = "X-MBX-USED-WEIGHT-1M"
KEYS = Keys("the-api-key-of-account-7", "the-secret-of-account-7", "the-passphrase-7", "print")
TRADES = Request("fapiPrivate", "GET", "userTrades", {"symbol": "BTCUSDT"}, 5)
EXECUTIONS = Request("private", "GET", "v5/execution/list", {"category": "linear"}, 1)
BALANCE = Request("private", "GET", "account/balance", {}, 1)

BINANCE = Venue(
    "binance", ("linear",), "binanceusdm", Weights(2_400, 60_000, HEADER), {}, no_permissions
)
BYBIT = Venue(
    "bybit", ("linear",), "bybit", Weights(600, 5_000), {}, no_permissions,
    {"v5/execution/list": (10, 1_000)},
)  # fmt: skip
OKX = Venue(
    "okx", ("linear",), "okx", Weights(1_000, 2_000), {}, no_permissions,
    {"account/balance": (10, 2_000)},
)  # fmt: skip


class Seen(NamedTuple):
    """A request as it arrived. query: its last values by name."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


class Cut(NamedTuple):
    """The connection ends after so much of an answer."""

    body: bytes


@dataclass
class ScriptedVenue:
    """answers: in turn, the last one for ever. clock_off_ms: what its clock differs from ours."""

    url: str = ""
    answers: list[web.Response | Cut] = field(default_factory=list)
    clock_off_ms: int = 0
    seen: list[Seen] = field(default_factory=list)
    clock_read: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        now = int(time.time() * 1000) + self.clock_off_ms
        if request.path.endswith("/time"):
            self.clock_read += 1
            return web.json_response(
                {"serverTime": now, "time": now, "retCode": 0, "code": "0",
                 "result": {"timeNano": f"{now}000000"}, "data": [{"ts": str(now)}]}
            )  # fmt: skip
        query = {name: values[-1] for name, values in parse_qs(request.query_string).items()}
        self.seen.append(Seen(request.path, query, dict(request.headers)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Cut):
            return await self._cut(request, answer.body)
        return web.Response(
            body=answer.body, status=answer.status, headers=answer.headers.copy()
        )

    async def _cut(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(body) + 100)})
        await response.prepare(request)
        await response.write(body)
        assert request.transport is not None
        request.transport.close()
        return response


def says(
    body: bytes | str, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    raw = body.encode() if isinstance(body, str) else body
    return web.Response(body=raw, status=status, headers=headers)


def one(request: Request) -> Generator[Request, Any, Any]:
    """A reading of one request; its answer is what it returns."""
    return (yield request)


class Desk(NamedTuple):
    """A process' connections to one scripted venue."""

    script: ScriptedVenue
    exchanges: Exchanges
    row: Venue

    async def ask(self, request: Request, **of_caller: Any) -> Any:
        caller = Caller(7, KEYS)._replace(**of_caller)
        return await self.exchanges.read(self.row, one(request), caller)


@asynccontextmanager
async def desk(
    where: RedisSettings, prefix: str, answers: Sequence[web.Response | Cut], row: Venue = BINANCE
) -> AsyncIterator[Desk]:
    script = ScriptedVenue(answers=list(answers))
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", script.handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    script.url = f"http://{host}:{port}"
    limits = Limits(limits_client(where, "test"), prefix, Decimal(0))
    exchanges = Exchanges(limits, {"default": None, "left": "127.0.0.2"}, url=script.url)
    try:
        yield Desk(script, exchanges, row)
    finally:
        await exchanges.close()
        await runner.cleanup()


Running = Callable[..., None]


def running(where: RedisSettings, prefix: str) -> Running:
    """`run(test, *answers, row=BINANCE)`: the test with a desk of its own."""

    def run(
        test: Callable[[Desk], Any], *answers: web.Response | Cut, row: Venue = BINANCE
    ) -> None:
        async def inside() -> None:
            async with desk(where, prefix, answers or [says("[]")], row) as found:
                await test(found)

        asyncio.run(inside())

    return run
