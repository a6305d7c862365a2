"""The control endpoints, and the program of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest
import requests

from deploy.exchange.server import Running, new_exchange

ACCOUNTS = [
    {
        "venue": "binance", "uid": str(number), "api_key": f"key-{number}", "secret": "s",
        "products": ["linear", "spot"], "hedge": number % 3 == 0,
        "wallets": {"linear": {"USDT": "100000", "BNB": "10"}, "spot": {"USDT": "100000"}},
    }
    for number in range(1, 8)
]  # fmt: skip


def control(url: str, verb: str, **values: Any) -> Any:
    answer = requests.post(f"{url}/_desk/{verb}", json=values, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def storm_of(seed: int) -> list[Any]:
    with Running(new_exchange(clock=lambda: 1_790_000_000_000)) as running:
        control(running.url, "add_accounts", accounts=ACCOUNTS)
        counted = control(running.url, "storm", seed=seed, trades=3000, venue="binance")
        truths = [
            control(running.url, "truth", venue="binance", api_key=row["api_key"])
            for row in ACCOUNTS
        ]
    return [counted, truths]


def test_a_storm_is_the_same_for_the_same_seed() -> None:
    first = storm_of(7)
    assert first == storm_of(7)
    assert first != storm_of(8)


def test_a_storm_has_everything_that_an_account_can_do() -> None:
    counted, truths = storm_of(7)
    fills = [fill for truth in truths for fill in truth["fills"]]
    assert set(counted) >= {
        "trade", "funding", "transfer_in", "transfer_out", "withdrawal", "placed", "canceled",
    }  # fmt: skip
    assert {fill["kind"] for fill in fills} == {"normal", "liquidation", "adl"}
    assert {fill["position_side"] for fill in fills} == {"net", "long", "short"}
    assert {fill["product"] for fill in fills} == {"linear", "spot"}
    assert "BNB" in {fill["fee_asset"] for fill in fills if fill["product"] == "linear"}
    assert any(fill["fee"].startswith("-") for fill in fills)
    assert any(fill["realized"].startswith("-") for fill in fills)


def test_a_storm_spreads_over_the_time_it_is_given(running: Running, trader: Any) -> None:
    end = running.do(lambda desk: desk.exchange.now_ms("binance"))
    start = end - 86_400_000
    running.do(lambda desk: desk.storm(1, 300, from_ms=start, to_ms=end))
    truth = running.do(lambda desk: desk.truth(**trader))
    times = [fill["at_ms"] for fill in truth["fills"]]
    assert times == sorted(times)
    assert (times[0] < start + 3_600_000, times[-1] > end - 3_600_000) == (True, True)


def test_everything_can_be_done_over_http(running: Running) -> None:
    url = running.url
    control(url, "add_accounts", accounts=ACCOUNTS[:1])
    who = {"venue": "binance", "api_key": "key-1"}
    btc = {"product": "linear", "symbol": "BTCUSDT"}
    [trade_id] = control(url, "trade", **who, **btc, side="buy", qty="0.5", price="30000.00")
    control(url, "mark", venue="binance", **btc, price="31000")
    assert control(url, "fund", **who, **btc, rate="0.001") == "-15.5"
    order = control(url, "place", **who, **btc, side="sell", qty="0.1", price="35000")
    control(url, "cancel", **who, order_id=order)
    control(url, "move", **who, kind="bonus", asset="USDT", amount="3", product="linear")
    truth = control(url, "truth", **who)
    assert truth["wallets"]["linear"] == {"USDT": "99980", "BNB": "10"}
    assert truth["fills"][0]["trade_id"] == trade_id
    assert truth["positions"] == [
        {
            "product": "linear", "symbol": "BTCUSDT", "side": "net", "settle": "USDT",
            "qty": "0.5", "entry": "30000", "realized": "0", "fees": "7.5", "funding": "-15.5",
        }
    ]  # fmt: skip


def test_statistics_count_requests_and_can_start_again(running: Running) -> None:
    for _ in range(3):
        requests.get(f"{running.url}/fapi/v1/time", timeout=5)
    requests.get(f"{running.url}/nothing", timeout=5)
    found = control(running.url, "statistics")
    assert found["requests"] == {"GET /fapi/v1/time 200": 3, "GET /nothing 404": 1}
    assert sum(found["windows"]["binance usdm 127.0.0.1"].values()) == 3
    control(running.url, "forget_statistics")
    assert control(running.url, "statistics")["requests"] == {}


@pytest.mark.parametrize(
    ("verb", "values"),
    [
        ("earthquake", {}),
        ("do", {"verb": "storm", "arguments": {}}),
        ("truth", {"venue": "binance", "api_key": "nobody"}),
        ("fault", {"kind": "unknown"}),
    ],
)
def test_a_wrong_verb_or_value_is_refused(
    running: Running, verb: str, values: dict[str, Any]
) -> None:
    answer = requests.post(f"{running.url}/_desk/{verb}", json=values, timeout=5)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_thousand_accounts_are_added_at_once(running: Running) -> None:
    rows = [ACCOUNTS[0] | {"uid": str(n), "api_key": f"bulk-{n:060d}"} for n in range(5000)]
    assert control(running.url, "add_accounts", accounts=rows) == 5000


def test_a_port_that_is_taken_is_an_error_at_once(running: Running) -> None:
    taken = int(running.url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="address already in use"), Running(port=taken):
        pass


def test_it_is_a_program_that_ends_when_told_to() -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "deploy.exchange", "--port", "0", "--scale", "20"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert program.stdout is not None
        url = program.stdout.readline().split()[-1]
        assert requests.get(f"{url}/fapi/v1/time", timeout=5).json()["serverTime"] > 0
        program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 0
    finally:
        program.kill()
        program.wait()
        if program.stdout is not None:
            program.stdout.close()
