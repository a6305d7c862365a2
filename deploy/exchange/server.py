"""The server: one port for all venues, told apart by path; `/_desk/` controls it.

The peer's source address is the egress address that a venue would see: 127.0.0.1 and 127.0.0.2
are two. Statistics count requests by path and status.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from copy import copy
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from deploy.exchange.desk import Desk
from deploy.exchange.exchange import Exchange, wall_ms
from deploy.exchange.faults import rows_in, spoiled
from deploy.exchange.front import Call, Front, Refused, Route
from deploy.exchange.fronts import FRONTS
from deploy.exchange.limits import Budget

T = TypeVar("T")
JSON = "application/json"
BODY_BYTES = 64 * 2**20
"""A thousand accounts are added at once."""
_NO_BUDGET = Budget("", 1)


class Dropped(Exception):  # noqa: N818 - an answer, not a mistake
    """The connection is closed instead of an answer."""


class Venues:
    """Answers requests for the fronts it was given, out of one exchange."""

    def __init__(self, exchange: Exchange, fronts: Sequence[Front] = FRONTS) -> None:
        self.exchange = exchange
        self.requests: Counter[str] = Counter()
        self.desk = Desk(exchange, self.requests)
        self._routes = {
            (method, path): (front, route)
            for front in fronts
            for (method, path), route in front.routes.items()
        }
        self._sockets = {path: socket for front in fronts for path, socket in front.sockets.items()}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request of any venue, or of the desk."""
        path = request.path
        body = await request.read() if request.can_read_body else b""
        if path.startswith("/_desk/"):
            return self._control(path.removeprefix("/_desk/"), body)
        found = self._routes.get((request.method, path))
        if found is None:
            self.requests[f"{request.method} {path} 404"] += 1
            return web.Response(status=404, text="no such path")
        front, route = found
        query = request.rel_url.raw_query_string
        params = dict(parse_qsl(query, keep_blank_values=True))
        if body and not body.startswith((b"{", b"[")):
            params.update(parse_qsl(body.decode(), keep_blank_values=True))
        call = Call(
            self.exchange, request.method, path, query, body, request.headers, params,
            request.remote or "", self.exchange.now_ms(front.venue),
        )  # fmt: skip
        try:
            response = await self._answer(front, route, call)
        except Dropped:
            if request.transport is not None:
                request.transport.abort()
            response = web.Response(status=500)  # nobody will read it
        self.requests[f"{request.method} {path} {response.status}"] += 1
        return response

    async def _answer(self, front: Front, route: Route, call: Call) -> web.Response:
        faults = self.exchange.faults.due(front.venue, call.path, _key_of(call), call.address)
        for fault in faults:
            if fault.kind == "delayed":
                await asyncio.sleep(fault.value / 1000)
            elif fault.kind in {"limited", "banned"}:
                self.exchange.limiter.block(
                    front.budget.name, call.address, fault.value * 1000, ban=fault.kind == "banned"
                )
            elif fault.kind == "status":
                return web.Response(status=fault.value, text="upstream unavailable")
            elif fault.kind == "dropped":
                raise Dropped
        status, answer, headers = self._ask(front, route, call)
        late = next((fault.value for fault in faults if fault.kind == "late_status"), 0)
        if late:
            return web.Response(status=late, text="upstream timed out", headers=headers)
        if any(fault.kind == "duplicate" for fault in faults):
            rows = rows_in(answer)
            if rows:
                rows.append(rows[-1])
        text = spoiled(orjson.dumps(answer), faults)
        return web.Response(status=status, body=text, headers=headers, content_type=JSON)

    def _ask(self, front: Front, route: Route, call: Call) -> tuple[int, Any, dict[str, str]]:
        """(status, answer, headers); weight first, as venues do."""
        weight = route.weight if isinstance(route.weight, int) else route.weight(call)
        spent = self.exchange.limiter.spend(front.budget, call.address, weight)
        headers = front.headers(spent)
        try:
            if spent.status != 200:  # noqa: PLR2004 - passed
                if front.retry_after:
                    headers["Retry-After"] = spent.retry_after
                raise front.limited(spent)
            if route.access != "public":
                call.account = front.authenticate(call, route)
                own = front.per_account.get(call.path) or front.per_account.get("")
                if own is not None:
                    spent = self.exchange.limiter.spend(own, call.who.uid, 1)
                    headers.update(front.headers(spent))
                    if spent.status != 200:  # noqa: PLR2004 - passed
                        raise front.limited(spent)
            return 200, front.answer(route.handler(call), call), headers
        except Refused as refused:
            return refused.status, front.error(refused, call), headers

    def _control(self, verb: str, body: bytes) -> web.Response:
        """`POST /_desk/<verb>` with the arguments as a JSON object."""
        try:
            found = self.desk.do(verb, orjson.loads(body) if body else {})
        except (KeyError, ValueError, TypeError) as wrong:
            words = f"{type(wrong).__name__}: {wrong}"
            return web.Response(status=400, body=orjson.dumps({"error": words}), content_type=JSON)
        return web.Response(body=orjson.dumps(found), content_type=JSON)

    def application(self) -> web.Application:
        """Websockets by their paths, everything else by `handle`."""
        application = web.Application(client_max_size=BODY_BYTES)
        for path, socket in self._sockets.items():
            application.router.add_get(path, partial(socket, self.exchange))
        application.router.add_route("*", "/{path:.*}", self.handle)
        return application


def _key_of(call: Call) -> str:
    """The API key of a request, whichever venue's header it is in."""
    for name in ("X-MBX-APIKEY", "X-BAPI-API-KEY", "OK-ACCESS-KEY"):
        if name in call.headers:
            return call.headers[name]
    return ""


def new_exchange(
    fronts: Sequence[Front] = FRONTS, *, scale: int = 1, clock: Callable[[], int] = wall_ms
) -> Exchange:
    """With the markets of these fronts."""
    rules = {front.venue: front.rules for front in fronts}
    markets = [copy(market) for front in fronts for market in front.markets]
    return Exchange(rules, markets, scale=scale, clock=clock)


class Running:
    """A server in a thread of this process, with a loop of its own: `with Running() as running`.

    url: where it listens. do: run something in its thread, so that nothing happens at once.
    """

    def __init__(self, exchange: Exchange | None = None, *, port: int = 0) -> None:
        self.venues = Venues(exchange or new_exchange())
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name="exchange", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._started.result()}"

    def do(self, work: Callable[[Desk], T]) -> T:
        """What `work` returns, or raises."""

        async def run() -> T:
            return work(self.venues.desk)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            runner = loop.run_until_complete(listen(self.venues, self._port))
        except OSError as taken:
            self._started.set_exception(taken)
            loop.close()
            return
        try:
            self._started.set_result(runner.addresses[0][1])
            loop.run_forever()
        finally:
            loop.run_until_complete(runner.cleanup())
            loop.close()


async def listen(venues: Venues, port: int) -> web.AppRunner:
    """Start to answer; clients may come from any loopback address."""
    runner = web.AppRunner(venues.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    return runner
