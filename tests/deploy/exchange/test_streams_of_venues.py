"""What each venue's user stream does in its own way: keys, refusals, cash, orders, late fees."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from deploy.exchange.server import Running
from tests.user_streams import (
    CASES,
    Case,
    add_account,
    fault,
    heard,
    opened,
    stream,
    trade,
)


@pytest.fixture
def case(request: pytest.FixtureRequest, running: Running) -> Case:
    found = CASES[request.param]
    add_account(running, found)
    return found


def of(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", names, indirect=True)


def desk(running: Running, case: Case, verb: str, **arguments: Any) -> Any:
    named = {"venue": case.venue, "api_key": "key-1", **arguments}
    return running.do(lambda desk: desk.do(verb, named))


def market(case: Case) -> dict[str, str]:
    return {"product": case.product, "symbol": case.symbol}


# -- Binance ---------------------------------------------------------------------------------------


@of("binance usdm", "binance spot by key")
def test_an_expired_listen_key_is_told_and_nothing_after_it(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            fault(running, case, "expired")
            trade(running, case)
            [message] = await case.beat(socket)
            assert message["e"] == "listenKeyExpired"
        async with stream(running, case) as socket:
            trade(running, case)
            assert len(await case.beat(socket)) == len(case.types)

    asyncio.run(run())


@of("binance usdm")
def test_a_key_that_nobody_kept_alive_ends_at_the_next_event(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            running.do(lambda desk: desk.skew("binance", 61 * 60_000))
            trade(running, case)
            trade(running, case)
            [message] = await case.beat(socket)
            assert message["e"] == "listenKeyExpired"

    asyncio.run(run())


@of("binance usdm")
def test_an_unknown_listen_key_is_an_open_and_silent_stream(running: Running, case: Case) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            socket = await opened(session, f"{running.url}/private/ws?listenKey=nobodys")
            trade(running, case)
            assert await case.beat(socket) == []
            await socket.close()

    asyncio.run(run())


@of("binance usdm")
def test_funding_and_deposits_change_the_wallet(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            trade(running, case, price="60000", fee="0")
            desk(running, case, "fund", **market(case), amount="-1.25")
            desk(running, case, "move", kind="deposit", asset="USDT", amount="10")
            *_, funding, deposit = await case.beat(socket)
            assert (funding["a"]["m"], funding["a"]["P"]) == ("FUNDING_FEE", [])
            assert funding["a"]["B"][0]["wb"] == "99998.75000000"
            assert deposit["a"] == {
                "m": "DEPOSIT", "P": [],
                "B": [{"a": "USDT", "wb": "100008.75000000", "cw": "100008.75000000", "bc": "10"}],
            }  # fmt: skip

    asyncio.run(run())


@of("binance usdm")
def test_a_position_is_told_with_what_it_realized(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            trade(running, case, price="60000", fee="0")
            desk(running, case, "trade", **market(case), side="sell", qty="0.004", price="61000")
            account, order = (await case.beat(socket))[-2:]
            [position] = account["a"]["P"]
            assert (position["pa"], position["ep"], position["cr"]) == ("0.006", "60000", "4")
            assert (order["o"]["rp"], order["o"]["x"], order["o"]["X"]) == ("4", "TRADE", "FILLED")

    asyncio.run(run())


@of("binance usdm")
def test_a_fee_that_comes_later_changes_the_account_only(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            trade(running, case, fee_known=False)
            _, order = await case.beat(socket)
            assert "n" not in order["o"]
            desk(running, case, "settle_fees", fee="0.3")
            [account] = await case.beat(socket)
            assert account["a"]["B"][0]["wb"] == "99999.70000000"

    asyncio.run(run())


@of("binance spot by key", "binance spot by signature")
def test_a_spot_deposit_is_a_change_and_the_balance_after_it(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            desk(running, case, "move", kind="deposit", asset="ETH", amount="2", product="spot")
            change, after = [one.get("event", one) for one in await case.beat(socket)]
            assert (change["e"], change["a"], change["d"]) == ("balanceUpdate", "ETH", "2.00000000")
            assert after["B"] == [{"a": "ETH", "f": "2.00000000", "l": "0.00000000"}]

    asyncio.run(run())


@of("binance spot by signature")
def test_a_wrong_signature_is_refused(running: Running, case: Case) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            socket = await opened(session, f"{running.url}/ws-api/v3")
            now = running.do(lambda desk: desk.exchange.now_ms("binance"))
            for params, code in (
                ({"apiKey": "key-1", "timestamp": now, "signature": "0"}, -1022),
                ({"apiKey": "key-1", "timestamp": now - 20_000, "signature": "0"}, -1021),
                ({"apiKey": "other", "timestamp": now, "signature": "0"}, -2015),
            ):
                method = "userDataStream.subscribe.signature"
                await socket.send_json({"id": "1", "method": method, "params": params})
                assert (await heard(socket))["error"]["code"] == code
            trade(running, case)
            assert await case.beat(socket) == []
            await socket.close()

    asyncio.run(run())


# -- Bybit -----------------------------------------------------------------------------------------


@of("bybit")
def test_bybit_refuses_who_is_not_authorized(running: Running, case: Case) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            socket = await opened(session, f"{running.url}/v5/private")
            for asked, code in (
                ({"op": "subscribe", "args": ["execution"]}, 10004),
                ({"op": "auth", "args": ["other", "9999999999999", "0"]}, 10003),
                ({"op": "auth", "args": ["key-1", "9999999999999", "0"]}, 10004),
            ):
                await socket.send_json(asked)
                answer = await heard(socket)
                assert (answer["success"], answer["retCode"]) == (False, code)
            trade(running, case)
            assert await case.beat(socket) == []
            await socket.close()

    asyncio.run(run())


@of("bybit")
def test_bybit_tells_funding_as_an_execution(running: Running, case: Case) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            trade(running, case, price="60000", fee="0")
            desk(running, case, "fund", **market(case), amount="-1.25")
            execution, wallet = (await case.beat(socket))[-2:]
            [row] = execution["data"]
            assert (row["execType"], row["execFee"], row["category"]) == (
                "Funding", "1.25", "linear",
            )  # fmt: skip
            [coin] = wallet["data"][0]["coin"]
            assert (coin["coin"], coin["walletBalance"]) == ("USDT", "199998.75")

    asyncio.run(run())


@of("bybit")
def test_bybit_tells_orders_of_the_category_that_was_asked_for(
    running: Running, case: Case
) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            args = ["order.linear", "order.spot"]
            await socket.send_json({"op": "subscribe", "args": args})
            assert (await heard(socket))["success"]
            order = {"side": "buy", "qty": "0.1", "price": "50000"}
            placed = desk(running, case, "place", **market(case), **order)
            desk(running, case, "cancel", order_id=placed)
            messages = await case.beat(socket)
            assert {message["topic"] for message in messages} == {"order.linear"}
            statuses = [message["data"][0]["orderStatus"] for message in messages]
            assert statuses == ["New", "Cancelled"]

    asyncio.run(run())


# -- OKX -------------------------------------------------------------------------------------------


@of("okx")
def test_okx_refuses_who_has_not_logged_in(running: Running, case: Case) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            socket = await opened(session, f"{running.url}/ws/v5/private")
            now = running.do(lambda desk: desk.exchange.now_ms("okx")) // 1000
            good = {"apiKey": "key-1", "passphrase": "phrase-1", "timestamp": str(now), "sign": "0"}
            for op, arg, code in (
                ("subscribe", {"channel": "account"}, "60011"),
                ("login", {**good, "apiKey": "other"}, "60005"),
                ("login", {**good, "timestamp": str(now - 60)}, "60006"),
                ("login", {**good, "passphrase": "wrong"}, "60024"),
                ("login", good, "60007"),
            ):
                await socket.send_json({"op": op, "args": [arg]})
                answer = await heard(socket)
                assert (answer["event"], answer["code"]) == ("error", code)
            trade(running, case)
            assert await case.beat(socket) == []
            await socket.close()

    asyncio.run(run())


@of("okx")
def test_okx_begins_positions_with_what_is_held(running: Running, case: Case) -> None:
    async def run() -> None:
        trade(running, case, price="60000")
        async with stream(running, case) as socket:
            arg = {"channel": "positions", "instType": "SWAP"}
            await socket.send_json({"op": "subscribe", "args": [arg]})
            assert (await heard(socket))["event"] == "subscribe"
            snapshot = await heard(socket)
            assert (snapshot["eventType"], snapshot["data"][0]["pos"]) == ("snapshot", "0.01")
            trade(running, case, price="60000")
            told = await case.beat(socket)
            [position] = [one for one in told if one["arg"]["channel"] == "positions"]
            assert position["data"][0]["pos"] == "0.02"

    asyncio.run(run())


@of("okx")
def test_okx_tells_fees_signed_as_it_does_and_cash_by_currency(
    running: Running, case: Case
) -> None:
    async def run() -> None:
        async with stream(running, case) as socket:
            arg = {"channel": "balance_and_position"}
            await socket.send_json({"op": "subscribe", "args": [arg]})
            assert (await heard(socket))["event"] == "subscribe"
            assert (await heard(socket))["eventType"] == "snapshot"
            made = trade(running, case, price="60000", fee="0.03")
            order, account, both = await case.beat(socket)
            assert order["data"][0]["fillFee"] == "-0.03"
            assert account["data"][0]["details"][0]["cashBal"] == "199999.97"
            [row] = both["data"]
            assert (row["eventType"], row["trades"][0]["tradeId"]) == ("filled", str(made))
            desk(running, case, "fund", **market(case), amount="2")
            _, both = await case.beat(socket)
            assert both["data"][0]["eventType"] == "funding_fee"
            assert both["data"][0]["balData"][0]["cashBal"] == "200001.97"

    asyncio.run(run())
