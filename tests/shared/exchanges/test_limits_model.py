"""Whatever happens between us and a venue: it never counts more than it allows."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import SecretStr

from shared.endpoints import RedisSettings
from shared.exchanges.limits import UNDER_WAY, Grant
from tests.shared.exchanges.limited import (
    NOON,
    PER_WINDOW,
    WINDOW_MS,
    Counted,
    CountingVenue,
    Limited,
)

DOUBT_MS = 2_000
STEP_MS = 100
"""Moments are in the middle of such a step and every boundary is at an end of one, so the few
milliseconds that a question takes decide nothing.
"""


class Sending(RuleBasedStateMachine):
    """Two processes, a venue whose clock is off by less than we think, and time that passes."""

    where: ClassVar[RedisSettings]
    prefix: ClassVar[str]

    @initialize(error=st.sampled_from([-20, -8, 0, 8, 20]))
    def begin(self, error: int) -> None:
        self.runner = asyncio.Runner()
        self.now = NOON + STEP_MS // 2
        self.venue = CountingVenue(error * STEP_MS)
        prefix = f"{self.prefix}{uuid.uuid4().hex}:"
        self.processes = [self.do(self.make(prefix)) for _ in range(2)]
        self.sent: list[tuple[int, Grant]] = []
        self.counted: list[tuple[int, Counted]] = []
        self.move(self.now)

    async def make(self, prefix: str) -> Limited:
        return Limited(self.where, prefix)

    def do(self, what: Any) -> Any:
        return self.runner.run(what)

    def under_way(self) -> int:
        return len(self.sent) + len(self.counted)

    @rule(steps=st.integers(1, WINDOW_MS // STEP_MS))
    def time_passes(self, steps: int) -> None:
        self.move(self.now + steps * STEP_MS)

    @rule(steps=st.sampled_from([-22, -15, -4, 3, 14, 22]))
    def a_boundary_is_near(self, steps: int) -> None:
        boundary = (self.now // WINDOW_MS + 1) * WINDOW_MS
        self.move(max(self.now, boundary + steps * STEP_MS + STEP_MS // 2))

    def move(self, to_ms: int) -> None:
        """No request takes a window: its client gives up before, and tells the limiter so."""
        for who, one in [(who, one) for who, one in self.counted if self.is_late(one.grant, to_ms)]:
            self.counted.remove((who, one))
            self.be_at((one.grant.window + 2) * WINDOW_MS - STEP_MS // 2)
            self.processes[who].limiter.settle(one.grant, None)
            self.do(self.processes[who].limiter.load())
        self.sent = [(who, grant) for who, grant in self.sent if not self.is_late(grant, to_ms)]
        self.be_at(to_ms)

    def is_late(self, grant: Grant, at_ms: int) -> bool:
        return grant.window < at_ms // WINDOW_MS - 1

    def be_at(self, now_ms: int) -> None:
        self.now = max(self.now, now_ms)
        for process in self.processes:
            self.do(process.at(self.now, DOUBT_MS))

    @precondition(lambda self: self.under_way() < UNDER_WAY // 2)
    @rule(who=st.integers(0, 1), weight=st.sampled_from([5, 400, 900]), order=st.booleans())
    def ask(self, who: int, weight: int, order: bool) -> None:  # noqa: FBT001 - drawn
        process = self.processes[who]
        found = self.do(process.ask(weight, "order" if order else "fresh"))
        if isinstance(found, Grant):
            self.sent.append((who, found))

    @rule(who=st.integers(0, 1), weight=st.sampled_from([400, 900]))
    def one_goes_through_at_once(self, who: int, weight: int) -> None:
        process = self.processes[who]
        found = self.do(process.ask(weight))
        if isinstance(found, Grant):
            process.limiter.settle(found, self.venue.receive(found, self.now).told)
            self.do(process.limiter.load())

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def the_venue_counts_one(self, data: st.DataObject) -> None:
        who, grant = self.sent.pop(data.draw(st.integers(0, len(self.sent) - 1)))
        self.counted.append((who, self.venue.receive(grant, self.now)))

    @precondition(lambda self: self.counted)
    @rule(data=st.data(), told=st.booleans())
    def its_answer_comes(self, data: st.DataObject, told: bool) -> None:  # noqa: FBT001 - drawn
        who, one = self.counted.pop(data.draw(st.integers(0, len(self.counted) - 1)))
        self.processes[who].limiter.settle(one.grant, one.told if told else None)
        self.do(self.processes[who].limiter.load())

    @precondition(lambda self: self.sent)
    @rule()
    def one_never_leaves(self) -> None:
        who, grant = self.sent.pop()
        self.processes[who].limiter.settle(grant, None, sent=False)
        self.do(self.processes[who].limiter.load())

    @invariant()
    def the_venue_never_counts_more_than_it_allows(self) -> None:
        if hasattr(self, "venue"):
            assert max(self.venue.counts.values(), default=0) <= PER_WINDOW

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            for process in self.processes:
                with suppress(asyncio.CancelledError):
                    self.do(process.limits.close())
            self.runner.close()


def test_no_order_of_events_makes_the_venue_count_more_than_it_allows(
    servers: Mapping[str, str], redis_prefix: str
) -> None:
    password = servers.get("REDIS_PASSWORD")
    Sending.where = RedisSettings(
        host=servers["REDIS_HOST"],
        port=int(servers["REDIS_PORT"]),
        password=SecretStr(password) if password else None,
    )
    Sending.prefix = redis_prefix
    Sending.TestCase.settings = settings(
        max_examples=60, stateful_step_count=30, deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )  # fmt: skip
    Sending.TestCase("runTest").runTest()
