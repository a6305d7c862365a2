"""A node of the role `userstreams`: one event loop, and a line for each account that is its own.

Nodes share the accounts by leases. A turn renews them, lets go what is not wanted any more or is
another's, and takes what is free, up to its share; a node that is gone loses its accounts when
their leases end. What moves from one node to another has a gap, so little is moved at a time.

**Silent death.** A connection can answer pings and tell nothing. So what the sync has found lately
is compared with what the line has told: a fill that it should have told and did not means that it
is dead, and it is opened again. That takes as long as the sync takes to look, one interval of the
account's tier (a minute while it trades), and `look_seconds` and `grace_ms` more.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

import MySQLdb

from shared import telemetry
from shared.errors import Unavailable
from workers.drain import never
from workers.userstreams import store
from workers.userstreams.leases import Leases
from workers.userstreams.line import Desk, Line
from workers.userstreams.store import Linked, Mark

_log = telemetry.log(__name__)


class Bounds(NamedTuple):
    """most: streams of one process. at_once: accounts that are looked at for free ones in a turn.
    moved: streams given to others in a turn, where this node has more than its share. margin_ms,
    grace_ms: a fill is missed if the line was up by so much before it and so much has passed since,
    because clocks differ. window_ms: how far back the sync's fills are looked at.
    """

    most: int = 5_000
    turn_seconds: float = 2.0
    look_seconds: float = 5.0
    lease_ms: int = 15_000
    at_once: int = 10_000
    moved: int = 10
    margin_ms: int = 2_000
    grace_ms: int = 5_000
    window_ms: int = 1_200_000
    stuck_seconds: float = 60.0
    steady_seconds: float = 10.0


class Parts(NamedTuple):
    """What belongs to the event loop. close: ends its connections."""

    desk: Desk
    leases: Leases
    close: Callable[[], Awaitable[object]]


class Running(NamedTuple):
    line: Line
    task: asyncio.Task[None]


class UserStreams:
    """What the reader step runs. make: called in the loop. connect_mysql: for reading."""

    def __init__(
        self,
        make: Callable[[], Awaitable[Parts]],
        connect_mysql: Callable[[], Any],
        bounds: Bounds | None = None,
        resting: Callable[[], bool] = never,
    ) -> None:
        """resting: hold no account for now."""
        self._make = make
        self._resting = resting
        self._connect = connect_mysql
        self._bounds = bounds or Bounds()
        # Its own: the loop's default threads may all be waiting for a venue that is away.
        self._thread = ThreadPoolExecutor(1, "fleet-userstreams")
        self._connection: Any = None
        self._lines: dict[int, Running] = {}
        self._refused: dict[int, Mark] = {}
        self._after = 0  # where the next turn looks for free accounts
        self._looked_at = 0.0
        self._turned_at: float | None = None
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._rests = False
        self._venues: set[str] = set()

    # -- for the reader step -----------------------------------------------------------------------

    def run(self) -> None:
        asyncio.run(self._run())

    def stop(self) -> None:
        self._stopping.set()
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(stop.set)

    def info(self) -> dict[str, object]:
        states = Counter(running.line.state for running in list(self._lines.values()))
        return {"streams": len(self._lines), **{str(one): n for one, n in states.items()}}

    def held(self) -> int:
        """Accounts whose streams are here; while there may be some on their way, at least one."""
        return len(self._lines) if self._rests else max(len(self._lines), 1)

    def ready(self) -> bool:
        return self._turned_at is not None

    def alive(self, now_monotonic: float) -> bool:
        turned = self._turned_at
        return turned is None or now_monotonic - turned < self._bounds.stuck_seconds

    # -- the loop ----------------------------------------------------------------------------------

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        if self._stopping.is_set():
            return
        parts = await self._make()
        try:
            async with asyncio.TaskGroup() as group:
                recording = group.create_task(parts.desk.recorder.run())
                try:
                    await self._turns(parts, group, self._stop)
                finally:
                    ours = list(self._lines)
                    await self._let_go(ours)
                    parts.desk.recorder.end()
                await recording
                await self._leave(parts.leases, ours)
        finally:
            await parts.close()
            self._thread.submit(self._drop_connection)
            self._thread.shutdown()

    async def _turns(self, parts: Parts, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._turn(parts, group)
            except Unavailable as error:
                # Streams go on: what they tell is recorded when MySQL is there again, or a gap.
                _log.warning("userstreams_turn", error=str(error))
            self._turned_at = time.monotonic()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._bounds.turn_seconds)

    async def _turn(self, parts: Parts, group: asyncio.TaskGroup) -> None:
        leases = parts.leases
        await self._ended(leases)
        if self._resting():
            await self._give_back(parts, list(self._lines))
            await leases.leave()
            self._rests = True
            self._count()
            return
        self._rests = False
        nodes = await leases.present()
        mine = await leases.hold(list(self._lines))
        await self._taken_over(set(self._lines) - mine)
        await self._follow(parts)
        total = await self._read(store.number)
        share = min(-(-total // max(nodes, 1)), self._bounds.most)
        surplus = len(self._lines) - share
        if surplus > 0:
            await self._give_back(parts, list(self._lines)[: min(surplus, self._bounds.moved)])
        elif surplus < 0:
            await self._take(parts, group, -surplus)
        if time.monotonic() - self._looked_at >= self._bounds.look_seconds:
            self._looked_at = time.monotonic()
            await self._look_for_missed()
        self._count()

    async def _take(self, parts: Parts, group: asyncio.TaskGroup, room: int) -> None:
        found = await self._read(store.wanted, self._after, self._bounds.at_once)
        self._after = found[-1] if len(found) == self._bounds.at_once else 0
        free = [account_id for account_id in found if account_id not in self._lines]
        taken: list[int] = []
        while free and len(taken) < room:
            some, free = free[: room - len(taken)], free[room - len(taken) :]
            taken += await parts.leases.hold(some)
        linked = await self._read(store.linked, taken) if taken else []
        begun = [one for one in linked if self._refused.get(one.account_id) != one.mark]
        for one in begun:
            self._begin(parts.desk, group, one)
        left = sorted(set(taken) - set(self._lines))
        if left:
            await parts.leases.release(left)

    def _begin(self, desk: Desk, group: asyncio.TaskGroup, linked: Linked) -> None:
        line = Line(desk, linked)
        name = f"stream {linked.account_id}"
        self._lines[linked.account_id] = Running(line, group.create_task(line.run(), name=name))
        self._venues.add(linked.mark.venue)

    async def _follow(self, parts: Parts) -> None:
        """Accounts that were switched off, suspended, moved or given other keys."""
        if not self._lines:
            return
        standing = await self._read(store.standing, list(self._lines))
        changed = []
        for account_id, (line, _) in self._lines.items():
            now = standing.get(account_id)
            if now is None or now.mark != line.linked.mark:
                changed.append(account_id)
            elif now.in_gap and line.up_for > self._bounds.steady_seconds:
                line.still_up()
        if changed:
            await self._give_back(parts, changed)

    async def _ended(self, leases: Leases) -> None:
        """Lines that ended by themselves: their keys were refused. A bug ends the node."""
        done = [one for one, running in self._lines.items() if running.task.done()]
        for account_id in done:
            self._refused[account_id] = self._lines.pop(account_id).line.linked.mark
        if done:
            await leases.release(done)

    async def _taken_over(self, lost: set[int]) -> None:
        for account_id in lost:
            self._lines[account_id].line.taken_over = True
        await self._let_go(sorted(lost))

    async def _give_back(self, parts: Parts, account_ids: Sequence[int]) -> None:
        """The gap is on its way to be written before another node may end it."""
        await self._let_go(account_ids)
        await parts.desk.recorder.written()
        await parts.leases.release(account_ids)

    async def _let_go(self, account_ids: Sequence[int]) -> None:
        going = [self._lines.pop(one) for one in account_ids if one in self._lines]
        for _, task in going:
            task.cancel()
        await asyncio.gather(*(task for _, task in going), return_exceptions=True)

    async def _leave(self, leases: Leases, ours: Sequence[int]) -> None:
        with suppress(Unavailable):  # then the leases end by themselves
            await leases.release(ours)
            await leases.leave()

    # -- silent death ------------------------------------------------------------------------------

    async def _look_for_missed(self) -> None:
        up = [one for one, running in self._lines.items() if running.line.state == "up"]
        if not up:
            return
        bounds = self._bounds
        since_ms = int(time.time() * 1000) - bounds.window_ms
        for fill in await self._read(store.found, up, since_ms):
            running = self._lines.get(fill.account_id)
            key = (fill.product, fill.instrument, fill.trade_id, fill.side)
            if running is not None and running.line.missed(
                key, fill.executed_at_ms, bounds.margin_ms, bounds.grace_ms
            ):
                _log.warning("stream_missed", account=fill.account_id, trade=fill.trade_id)
                running.line.reconnect()

    # -- what it uses ------------------------------------------------------------------------------

    async def _read(self, what: Callable[..., Any], *arguments: Any) -> Any:
        assert self._loop is not None
        return await self._loop.run_in_executor(
            self._thread, self._read_in_thread, what, arguments
        )

    def _read_in_thread(self, what: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        try:
            if self._connection is None:
                self._connection = self._connect()
            return what(self._connection, *arguments)
        except Unavailable:
            self._drop_connection()
            raise

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with suppress(MySQLdb.Error):
                self._connection.close()
            self._connection = None

    def _count(self) -> None:
        up = Counter(
            running.line.linked.mark.venue
            for running in self._lines.values()
            if running.line.state == "up"
        )
        for venue in self._venues:
            telemetry.gauge("fleet_streams_up", up[venue], venue=venue)
