"""Readings driven over HTTP, against a venue that answers what is written down."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import logging
import traceback
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from shared.endpoints import RedisSettings
from shared.errors import FleetError, Unavailable
from shared.exchanges import connection
from shared.exchanges.client import Caller
from shared.exchanges.errors import (
    Banned,
    ClockOff,
    KeyRefused,
    Malformed,
    Refused,
    Throttled,
    VenueAway,
)
from shared.exchanges.keys import Keys
from shared.exchanges.venue import Request
from shared.masking import Mask
from shared.telemetry import configure_logs
from tests.shared.exchanges.scripted_venue import (
    BALANCE,
    BYBIT,
    EXECUTIONS,
    HEADER,
    KEYS,
    OKX,
    TRADES,
    Cut,
    Desk,
    Running,
    running,
    says,
)

KEY_GONE = '{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}'
AHEAD = '{"code":-1021,"msg":"Timestamp for this request is outside of the recvWindow."}'


@pytest.fixture
def run(
    redis_where: RedisSettings, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Running:
    monkeypatch.setattr(connection, "PAUSES", (0.001, 0.002))
    return running(redis_where, redis_prefix)


# -- numbers ---------------------------------------------------------------------------------------


def test_every_number_is_the_venues_own_text(run: Running) -> None:
    async def test(desk: Desk) -> None:
        assert await desk.ask(TRADES) == {
            "quoted": "0.3000",
            "decimal": "0.1234567890123456789",
            "exponent": "1E-8",
            "long": "123456789012345678901234567890",
            "negative": "-0.00",
            "in text": "a:1,b",
            "no": None,
            "yes": True,
            "list": ["1", "2.50"],
        }

    run(
        test,
        says(
            '{"quoted":"0.3000","decimal":0.1234567890123456789,"exponent":1E-8,'
            '"long":123456789012345678901234567890,"negative":-0.00,"in text":"a:1,b",'
            '"no":null,"yes":true,"list":[1,2.50]}'
        ),
    )


# -- what is sent ----------------------------------------------------------------------------------


def test_a_request_is_signed_over_what_arrives(run: Running) -> None:
    async def test(desk: Desk) -> None:
        await desk.ask(TRADES)
        (seen,) = desk.script.seen
        assert seen.path == "/fapi/v1/userTrades"
        assert seen.headers["X-MBX-APIKEY"] == KEYS.api_key
        raw = "&".join(f"{k}={v}" for k, v in seen.query.items() if k != "signature")
        expected = hmac.new(KEYS.secret.encode(), raw.encode(), hashlib.sha256).hexdigest()
        assert seen.query["signature"] == expected

    run(test)


def test_the_time_that_is_signed_is_the_venues(run: Running) -> None:
    async def test(desk: Desk) -> None:
        desk.script.clock_off_ms = -20_000
        now_ms = await desk.exchanges.now_ms(desk.row)
        await desk.ask(TRADES)
        stamp = int(desk.script.seen[0].query["timestamp"])
        assert now_ms <= stamp < now_ms + 5_000
        assert desk.script.clock_read == 3  # once, in three readings

    run(test)


def test_keys_are_in_the_signer_only_while_it_signs(run: Running) -> None:
    async def test(desk: Desk) -> None:
        await desk.ask(TRADES)
        signer = desk.exchanges.connection(desk.row, "default")._signer
        held = repr(vars(signer._ccxt)) + repr(signer._ccxt.urls)
        assert KEYS.api_key not in held
        assert KEYS.secret not in held

    run(test)


def test_an_account_sends_from_the_address_it_is_pinned_to(run: Running) -> None:
    async def test(desk: Desk) -> None:
        await desk.ask(TRADES, egress="left")
        with pytest.raises(FleetError, match="'right', which FLEET_EGRESS does not name"):
            await desk.ask(TRADES, egress="right")

    run(test)


def test_a_redirect_carries_no_signed_request_elsewhere(run: Running) -> None:
    async def test(desk: Desk) -> None:
        with pytest.raises(VenueAway, match="answered 302"):
            await desk.ask(TRADES)
        assert {seen.path for seen in desk.script.seen} == {"/fapi/v1/userTrades"}

    run(test, says("", 302, {"Location": "/elsewhere"}))


def test_no_cookie_of_one_account_reaches_another(run: Running) -> None:
    async def test(desk: Desk) -> None:
        await desk.ask(TRADES)
        await desk.ask(TRADES)
        assert all("Cookie" not in seen.headers for seen in desk.script.seen)

    run(test, says("[]", headers={"Set-Cookie": "session=1"}))


# -- what fails on the way -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "kind", "words"),
    [
        (says("", 502), VenueAway, "answered 502"),
        (says("<html>", 503), VenueAway, "answered 503"),
        (says('{"code":-1007,"msg":"Timeout"}', 504), VenueAway, "answered -1007 Timeout"),
        (says('[{"id":1,"price":"1'), Malformed, "JSON that is cut or broken after 19 bytes"),
        (says(""), Malformed, "an empty body"),
        (says("<html>maintenance"), Malformed, "a web page"),
        (says("NaN"), Malformed, "text that is no JSON"),
        (says('{"a":NaN}'), Malformed, "JSON that is cut or broken"),
        (says(b'{"a":"\xff"}'), Malformed, "JSON that is cut or broken"),
        (says("[" * 100_000), Malformed, "JSON that is cut or broken"),
        (Cut(b'[{"id":1'), VenueAway, "does not answer"),
    ],
)
def test_what_breaks_is_asked_for_twice_more(
    run: Running, broken: Any, kind: type[FleetError], words: str
) -> None:
    async def helped(desk: Desk) -> None:
        assert await desk.ask(TRADES) == ["1"]
        assert len(desk.script.seen) == 3

    async def not_helped(desk: Desk) -> None:
        with pytest.raises(kind, match=words):
            await desk.ask(TRADES)
        assert len(desk.script.seen) == 3

    run(helped, broken, broken, says("[1]"))
    run(not_helped, broken)


def test_a_venue_that_is_not_there_is_away(run: Running) -> None:
    async def test(desk: Desk) -> None:
        await desk.exchanges.now_ms(desk.row)
        desk.exchanges.connection(desk.row, "default")._signer._url = "http://127.0.0.1:9"
        with pytest.raises(VenueAway, match="does not answer"):
            await desk.ask(TRADES)
        load = await desk.exchanges.connection(desk.row, "default")._limiter.load()
        assert load.used == load.under_way + connection.CLOCK_WEIGHT  # what never left is free

    run(test)


# -- the clock -------------------------------------------------------------------------------------


def test_a_clock_that_went_wrong_is_read_again_without_an_operator(run: Running) -> None:
    async def test(desk: Desk) -> None:
        await desk.exchanges.now_ms(desk.row)
        desk.script.clock_off_ms = 20_000
        assert await desk.ask(TRADES) == []
        first, second = (int(seen.query["timestamp"]) for seen in desk.script.seen)
        assert second - first > 19_000

    run(test, says(AHEAD, 400), says("[]"))


def test_a_clock_is_read_once_for_all_who_need_it(run: Running) -> None:
    async def test(desk: Desk) -> None:
        await asyncio.gather(*(desk.ask(TRADES) for _ in range(20)))
        assert desk.script.clock_read == 3

    run(test)


def test_a_venue_that_refuses_our_time_twice_is_told_so(run: Running) -> None:
    async def test(desk: Desk) -> None:
        with pytest.raises(ClockOff, match="-1021"):
            await desk.ask(TRADES)
        assert len(desk.script.seen) == 2

    run(test, says(AHEAD, 400))


# -- refusals --------------------------------------------------------------------------------------


def test_a_refused_key_is_known_at_once_even_after_it_worked(run: Running) -> None:
    async def test(desk: Desk) -> None:
        await desk.ask(TRADES)
        with pytest.raises(KeyRefused, match="-2015 Invalid API-key") as caught:
            await desk.ask(TRADES)
        assert (caught.value.code, len(desk.script.seen)) == ("-2015", 2)

    run(test, says("[]"), says(KEY_GONE, 401))


def test_a_key_that_cannot_sign_is_refused_before_it_is_sent(run: Running) -> None:
    async def test(desk: Desk) -> None:
        pem = "-----BEGIN PRIVATE KEY-----\nbroken-canary\n-----END PRIVATE KEY-----"
        for keys in (Keys("k", "", "", "p"), Keys("k", pem, "", "p")):
            with pytest.raises(KeyRefused, match="cannot sign") as caught:
                await desk.ask(TRADES, keys=keys)
            assert "canary" not in everything_of(caught.value)
        assert desk.script.seen == []

    run(test)


@pytest.mark.parametrize(
    ("row", "request_", "answer", "kind"),
    [
        (BYBIT, EXECUTIONS, says('{"retCode":10003,"retMsg":"Invalid"}', 200), KeyRefused),
        (BYBIT, EXECUTIONS, says('{"retCode":10010,"retMsg":"Unmatched IP"}', 200), KeyRefused),
        (BYBIT, EXECUTIONS, says('{"retCode":33004,"retMsg":"api key expired"}', 200), KeyRefused),
        (BYBIT, EXECUTIONS, says('{"retCode":10016,"retMsg":"System error."}', 200), VenueAway),
        (BYBIT, EXECUTIONS, says('{"retCode":10002,"retMsg":"invalid request"}', 200), ClockOff),
        (BYBIT, EXECUTIONS, says('{"retCode":10001,"retMsg":"params error"}', 200), Refused),
        (OKX, BALANCE, says('{"code":"50111","msg":"Invalid OK-ACCESS-KEY"}', 401), KeyRefused),
        (OKX, BALANCE, says('{"code":"50110","msg":"Invalid IP"}', 401), KeyRefused),
        (OKX, BALANCE, says('{"code":"50102","msg":"Timestamp request expired"}', 401), ClockOff),
        (OKX, BALANCE, says('{"code":"50009","msg":"Account is in liquidation"}', 200), Refused),
        (OKX, BALANCE, says('{"code":"50001","msg":"Service unavailable"}', 503), VenueAway),
    ],
)
def test_other_venues_say_the_same_in_their_own_codes(
    run: Running, row: Any, request_: Request, answer: Any, kind: type[FleetError]
) -> None:
    async def test(desk: Desk) -> None:
        with pytest.raises(kind) as caught:
            await desk.ask(request_)
        assert type(caught.value) is kind

    run(test, answer, row=row)


def test_a_firewalls_401_suspends_nobody(run: Running) -> None:
    async def test(desk: Desk) -> None:
        with pytest.raises(VenueAway):
            await desk.ask(TRADES)

    run(test, says("<html>no</html>", 401))


def test_a_reading_may_know_what_a_refusal_means(run: Running) -> None:
    def reading() -> Generator[Request, Any, Any]:
        try:
            yield TRADES
        except Refused as refused:
            said = (refused.code, refused.missing)
        else:
            said = ("", False)
        return said, (yield TRADES)

    async def test(desk: Desk) -> None:
        caller = Caller(7, KEYS, priority="backfill")
        found = await desk.exchanges.read(desk.row, reading(), caller)
        assert found == (("-2013", True), ["1"])

    run(test, says('{"code":-2013,"msg":"Order does not exist."}', 400), says("[1]"))


def test_a_refusal_that_no_reading_expects_comes_out(run: Running) -> None:
    async def test(desk: Desk) -> None:
        with pytest.raises(Refused, match="-1102 Mandatory parameter") as caught:
            await desk.ask(TRADES)
        assert not caught.value.missing
        assert len(desk.script.seen) == 1

    run(test, says('{"code":-1102,"msg":"Mandatory parameter"}', 400))


# -- too much --------------------------------------------------------------------------------------


def test_a_429_pauses_the_address_for_every_process(run: Running) -> None:
    async def test(desk: Desk) -> None:
        with pytest.raises(Throttled) as caught:
            await desk.ask(TRADES, patience_ms=1_000)
        assert 6_000 < caught.value.retry_after_ms <= 7_000
        assert len(desk.script.seen) == 1

    async def in_another_process(desk: Desk) -> None:
        with pytest.raises(Throttled) as caught:
            await desk.ask(TRADES, account_id=8, patience_ms=1_000)
        assert 5_000 < caught.value.retry_after_ms <= 7_000
        assert desk.script.seen == []

    run(test, says('{"code":-1003,"msg":"Too many requests"}', 429, {"Retry-After": "7"}))
    run(in_another_process, says("[]"))


def test_a_short_pause_is_waited_for(run: Running) -> None:
    async def test(desk: Desk) -> None:
        assert await desk.ask(TRADES) == []
        assert len(desk.script.seen) == 2

    run(test, says("", 429, {"Retry-After": "0"}), says("[]"))


def test_a_ban_is_not_tried_again_and_holds_everybody(run: Running) -> None:
    async def test(desk: Desk) -> None:
        with pytest.raises(Banned, match="banned until") as caught:
            await desk.ask(TRADES)
        assert 3_500_000 < caught.value.retry_after_ms <= 3_600_000
        with pytest.raises(Throttled):
            await desk.ask(TRADES, account_id=8)
        assert len(desk.script.seen) == 1

    run(test, says('{"code":-1003,"msg":"IP banned until later"}', 418, {"Retry-After": "3600"}))


def test_a_firewalls_403_is_a_ban(run: Running) -> None:
    async def test(desk: Desk) -> None:
        with pytest.raises(Banned) as caught:
            await desk.ask(EXECUTIONS)
        assert caught.value.retry_after_ms == 600_000

    run(test, says("<html>access too frequent</html>", 403), row=BYBIT)


@pytest.mark.parametrize(
    ("row", "request_", "body", "status"),
    [
        (BYBIT, EXECUTIONS, '{"retCode":10006,"retMsg":"Too many visits!"}', 200),
        (OKX, BALANCE, '{"code":"50011","msg":"Too Many Requests"}', 429),
    ],
)
def test_an_account_that_asked_too_much_pauses_alone(
    run: Running, row: Any, request_: Request, body: str, status: int
) -> None:
    async def test(desk: Desk) -> None:
        with pytest.raises(Throttled):
            await desk.ask(request_, patience_ms=0)
        desk.script.answers = [says('{"retCode":0,"code":"0"}')]
        await desk.ask(request_, account_id=8)

    run(test, says(body, status), row=row)


def test_the_venues_own_figure_is_taken_over(run: Running) -> None:
    async def test(desk: Desk) -> None:
        await desk.ask(TRADES)
        load = await desk.exchanges.connection(desk.row, "default")._limiter.load()
        assert load.used in {1_234, 1_234 + connection.CLOCK_WEIGHT}

    run(test, says("[]", headers={HEADER: "1234"}))


# -- secrets ---------------------------------------------------------------------------------------


def everything_of(error: BaseException) -> str:
    """What a log, a report or an attached debugger would show of it."""
    chain = [error, error.__cause__, error.__context__]
    return "".join("".join(traceback.format_exception(one)) for one in chain if one) + repr(error)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    lines = io.StringIO()
    configure_logs(Mask(), stream=lines, level="DEBUG")
    yield lines
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("row", "request_", "answer"),
    [
        (None, TRADES, says(KEY_GONE, 401)),
        (None, TRADES, says("", 500)),
        (None, TRADES, Cut(b"[")),
        (None, TRADES, says("", 429, {"Retry-After": "600"})),
        (None, TRADES, says('{"code":-1022,"msg":"Signature is not valid."}', 400)),
        (BYBIT, EXECUTIONS, "echo"),
        (OKX, BALANCE, says('{"code":"50105","msg":"passphrase the-passphrase-7 incorrect"}', 401)),
    ],
)
def test_no_key_and_no_signature_comes_out_of_a_failure(
    run: Running, logged: io.StringIO, row: Any, request_: Request, answer: Any
) -> None:
    echo = (
        '{"retCode":10004,"retMsg":"error sign! origin_string['
        f"1700000000000{KEYS.api_key}5000category=linear] apiSignature["
        + "ab" * 32
        + ']"}'
    )

    async def test(desk: Desk) -> None:
        with pytest.raises((FleetError, Unavailable)) as caught:
            await desk.ask(request_, patience_ms=100)
        text = everything_of(caught.value) + logged.getvalue()
        sent = [seen for seen in desk.script.seen if seen.query or seen.headers]
        assert sent
        signatures = [value for seen in sent for value in secrets_in(seen)]
        for secret in (KEYS.api_key, KEYS.secret, KEYS.passphrase, "ab" * 32, *signatures):
            assert secret not in text
        assert "signature=" not in text

    given = says(echo) if answer == "echo" else answer
    run(test, given, **({} if row is None else {"row": row}))


def secrets_in(seen: Any) -> list[str]:
    named = ("X-BAPI-SIGN", "OK-ACCESS-SIGN")
    found = [seen.query.get("signature"), *(seen.headers.get(name) for name in named)]
    return [value for value in found if value]


# -- instruments -----------------------------------------------------------------------------------

INSTRUMENTS = (
    '{"serverTime":1,"rateLimits":[],"symbols":[{"symbol":"%s","pair":"%s",'
    '"contractType":"PERPETUAL","deliveryDate":4133404800000,"onboardDate":1569398400000,'
    '"status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","marginAsset":"USDT",'
    '"pricePrecision":2,"quantityPrecision":3,"baseAssetPrecision":8,"quotePrecision":8,'
    '"filters":[]}]}'
)


def test_instruments_are_loaded_once_and_again_for_an_unknown_one(
    run: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(desk: Desk) -> None:
        found = await desk.exchanges.markets(desk.row)
        market = found["linear", "BTCUSDT"]
        assert (market.base, market.settle, market.contract_size) == ("BTC", "USDT", "1")
        await desk.exchanges.markets(desk.row, wanted=("linear", "NEWUSDT"))
        assert len(desk.script.seen) == 1  # asked for a moment ago
        monkeypatch.setattr(connection, "UNKNOWN_SECONDS", 0)
        found = await desk.exchanges.markets(desk.row, wanted=("linear", "NEWUSDT"))
        assert ("linear", "NEWUSDT") in found
        assert len(desk.script.seen) == 2

    run(
        test,
        says(INSTRUMENTS % ("BTCUSDT", "BTCUSDT"), headers={HEADER: "41"}),
        says(INSTRUMENTS % ("NEWUSDT", "NEWUSDT")),
    )


def test_a_venue_that_tells_no_instruments_is_away(run: Running) -> None:
    async def test(desk: Desk) -> None:
        with pytest.raises(VenueAway, match="clock or instruments"):
            await desk.exchanges.markets(desk.row)

    run(test, says("", 500))
