"""Leases of user streams, on a real Redis with the role's own rights."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest

from shared.errors import Unavailable
from shared.exchanges.limits import limits_client
from shared.settings import Settings
from tests.waiting import eventually
from workers.userstreams.leases import Leases

pytestmark = pytest.mark.database

T = TypeVar("T")
LONG = 60_000


def with_two(
    settings: Settings, work: Callable[[Leases, Leases], Awaitable[T]], lease_ms: int = LONG
) -> T:
    """`work` with the leases of two nodes."""

    async def main() -> T:
        async with AsyncExitStack() as stack:
            nodes = []
            for name in ("one", "two"):
                leases = Leases(
                    limits_client(settings.broker, "t"), settings.broker_prefix, name, lease_ms
                )
                stack.push_async_callback(leases.close)
                nodes.append(leases)
            return await work(*nodes)

    return asyncio.run(main())


@pytest.fixture
def mine(settings_for: Callable[..., Settings]) -> Settings:
    return settings_for("userstreams")


def test_an_account_is_held_by_one_node(mine: Settings) -> None:
    async def work(one: Leases, two: Leases) -> None:
        assert await one.hold([1, 2]) == {1, 2}
        assert await two.hold([1, 2, 3]) == {3}
        assert await one.hold([1, 2, 3]) == {1, 2}, "renewing takes nothing from others"

    with_two(mine, work)


def test_what_is_released_is_free_and_only_ones_own_is(mine: Settings) -> None:
    async def work(one: Leases, two: Leases) -> None:
        await one.hold([1, 2])
        await two.release([1, 2])
        assert await two.hold([1, 2]) == set()
        await one.release([1])
        assert await two.hold([1, 2]) == {1}

    with_two(mine, work)


def test_a_lease_that_is_not_renewed_ends(mine: Settings) -> None:
    async def one_holds(one: Leases, _: Leases) -> set[int]:
        return await one.hold([1])

    async def two_holds(_: Leases, two: Leases) -> set[int]:
        return await two.hold([1])

    assert with_two(mine, one_holds, lease_ms=100) == {1}
    eventually(lambda: with_two(mine, two_holds) == {1})
    assert with_two(mine, one_holds) == set()


def test_more_accounts_than_one_step_takes_are_all_held(mine: Settings) -> None:
    async def work(one: Leases, two: Leases) -> None:
        del two
        accounts = list(range(1, 1_202))
        assert await one.hold(accounts) == set(accounts)
        await one.release(accounts)

    with_two(mine, work)


def test_nodes_know_how_many_they_are(mine: Settings) -> None:
    async def work(one: Leases, two: Leases) -> Any:
        counts = [await one.present(), await two.present(), await one.present()]
        await two.leave()
        return [*counts, await one.present()]

    assert with_two(mine, work) == [1, 2, 2, 1]


def test_a_node_that_is_gone_counts_no_more(mine: Settings) -> None:
    async def one_counts(one: Leases, _: Leases) -> int:
        return await one.present()

    async def two_comes(_: Leases, two: Leases) -> int:
        return await two.present()

    with_two(mine, two_comes, lease_ms=100)
    eventually(lambda: with_two(mine, one_counts) == 1)


def test_without_redis_every_step_says_so(mine: Settings) -> None:
    away = mine.model_copy(update={"broker": mine.broker.model_copy(update={"port": 1})})

    async def work(one: Leases, two: Leases) -> None:
        del two
        for step in (one.present(), one.hold([1]), one.release([1]), one.leave()):
            with pytest.raises(Unavailable, match="Redis is away"):
                await step

    with_two(away, work)
