"""User streams of all four venues, as a plain websocket client meets them."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import WSMsgType

from deploy.exchange.server import Running
from tests.user_streams import CASES, PATIENCE, Case, add_account, fault, stream, trade, traded

SILENCE = 0.3


@pytest.fixture(params=CASES, ids=lambda name: name.replace(" ", "-"))
def case(request: pytest.FixtureRequest, running: Running) -> Case:
    case = CASES[request.param]
    add_account(running, case)
    return case


# -- what is told ----------------------------------------------------------------------------------


def test_a_trade_is_told_once_and_in_the_venues_order(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            made = trade(running, case, fee="0.12345678")
            messages = await case.beat(socket)
            assert tuple(case.type_of(message) for message in messages) == case.types
            [(trade_id, price, fee)] = traded(case, messages)
            assert (trade_id, price.rstrip("0"), fee.lstrip("-")) == (
                str(made), "60000.5", "0.12345678",
            )  # fmt: skip

    asyncio.run(run())


def test_other_accounts_are_not_told(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            other = {"venue": case.venue, "uid": "2", "api_key": "key-2", "secret": "s"}
            running.do(lambda desk: desk.add_accounts([other]))
            running.do(
                lambda desk: desk.trade(
                    case.venue, "key-2", case.product, case.symbol, "buy", "1", "60000"
                )
            )
            assert await case.beat(socket) == []

    asyncio.run(run())


def test_a_row_that_is_shown_late_is_not_told(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            trade(running, case, hidden=True)
            assert await case.beat(socket) == []

    asyncio.run(run())


def test_an_ended_connection_is_forgotten(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case):
            assert len(running.do(lambda desk: desk.streams(case.venue, "key-1"))) == 1
        async with stream(running, case) as socket:
            trade(running, case)
            assert len(traded(case, await case.beat(socket))) == 1
            assert len(running.do(lambda desk: desk.streams(case.venue, "key-1"))) == 1

    asyncio.run(run())


# -- what goes wrong -------------------------------------------------------------------------------


def test_a_mute_stream_answers_pings_and_tells_nothing(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            fault(running, case, "mute")
            trade(running, case)
            assert await case.beat(socket) == []
            running.do(lambda desk: desk.clear_faults())
            later = trade(running, case)
            found = traded(case, await case.beat(socket))
            assert [trade_id for trade_id, *_ in found] == [str(later)]

    asyncio.run(run())


def test_a_dead_stream_stays_open_and_says_nothing_at_all(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            fault(running, case, "dead")
            trade(running, case)
            await socket.ping()
            with pytest.raises(TimeoutError):
                await socket.receive(timeout=SILENCE)
            assert not socket.closed
        async with stream(running, case) as socket:
            later = trade(running, case)
            found = traded(case, await case.beat(socket))
            assert [trade_id for trade_id, *_ in found] == [str(later)]

    asyncio.run(run())


def test_a_dropped_stream_ends_without_a_close_frame(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            fault(running, case, "dropped")
            message = await socket.receive(timeout=PATIENCE)
            assert message.type in {WSMsgType.CLOSED, WSMsgType.ERROR}
            assert socket.close_code == 1006

    asyncio.run(run())


def test_a_closed_stream_says_so(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            fault(running, case, "closed")
            assert (await socket.receive(timeout=PATIENCE)).type == WSMsgType.CLOSE

    asyncio.run(run())


def test_an_event_may_come_twice(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            fault(running, case, "duplicated")
            trade(running, case)
            messages = await case.beat(socket)
            assert [case.type_of(one) for one in messages] == [
                name for name in case.types for _ in range(2)
            ]
            first, second = traded(case, messages)
            assert first == second

    asyncio.run(run())


def test_one_type_may_lag_behind_the_others_but_keeps_its_own_order(
    running: Running, case: Case
) -> None:
    async def run() -> None:
        lagging, *others = case.types
        async with stream(running, case) as socket:
            fault(running, case, "reordered")
            ids = [trade(running, case), trade(running, case)]
            types = [case.type_of(one) for one in await case.beat(socket)]
            assert types == [*others, *others, lagging]
            running.do(lambda desk: desk.clear_faults())
            rest = [case.type_of(one) for one in await case.beat(socket)]
            assert rest == [lagging]
            assert ids == sorted(ids)

    asyncio.run(run())
