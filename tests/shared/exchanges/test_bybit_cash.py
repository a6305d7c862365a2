"""Bybit's ledger: every row becomes its parts, and the one wallet is explained."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from shared.exchanges.bybit_history import read_cash
from shared.exchanges.venue import Market
from tests.shared.exchanges.readings import (
    NOW,
    account_of,
    checked,
    drive,
    in_turn,
)

LINEAR = Market("BTCUSDT", "linear", "BTC", "USDT", "USDT", "1")
INVERSE = Market("BTCUSD", "inverse", "BTC", "USD", "BTC", "1")
SPOT = Market("BTCUSDT", "spot", "BTC", "USDT", "USDT", "1")
AT = NOW - 60_000


def page(*rows: Any, cursor: str = "") -> Any:
    return {"retCode": "0", "result": {"list": list(rows), "nextPageCursor": cursor}}


# ---- the ledger


def entry(ref: str = "r1", **fields: Any) -> dict[str, Any]:
    return {
        "id": ref, "symbol": "BTCUSDT", "category": "linear", "side": "Sell",
        "transactionTime": str(AT), "type": "TRADE", "transSubType": "", "qty": "0.01",
        "size": "0", "currency": "USDT", "tradePrice": "64000", "funding": "", "fee": "0",
        "cashFlow": "0", "change": "0", "cashBalance": "1000", "feeRate": "", "bonusChange": "",
        "tradeId": "e1", "orderId": "o1", "orderLinkId": "", "extraFees": "", **fields,
    }  # fmt: skip


def cash(*rows: Any) -> list[Any]:
    account = account_of([LINEAR, INVERSE, SPOT])
    result, requests = drive(read_cash(account, {}), in_turn(page(*rows), page()))
    assert requests[0].path == "v5/account/transaction-log"
    assert requests[0].params["limit"] == 50
    bodies = checked(result.events)
    identities = [
        (one["venue_type"], one["ref"], one["asset"], one["instrument"]) for one in bodies
    ]
    assert len(identities) == len(set(identities))
    return bodies


def parts(bodies: list[Any]) -> list[tuple[str, str]]:
    return [(body["kind"], body["amount"]) for body in bodies]


def test_a_row_becomes_its_parts_and_their_sum_is_its_change() -> None:
    bodies = cash(entry(cashFlow="12.34567891", fee="0.352", change="11.99367891"))

    assert parts(bodies) == [("realized", "12.34567891"), ("commission", "-0.352")]
    assert {body["product"] for body in bodies} == {"linear"}
    assert {body["instrument"] for body in bodies} == {"BTCUSDT"}
    assert [body["ref"] for body in bodies] == ["r1", "r1:fee"]


def test_funding_is_received_when_positive_and_a_rebate_is_a_negative_fee() -> None:
    bodies = cash(
        entry("r2", type="SETTLEMENT", funding="-0.003676", change="-0.003676"),
        entry("r1", fee="-0.02", change="0.02"),
    )
    assert parts(bodies) == [("commission", "0.02"), ("funding", "-0.003676")]


def test_a_session_settlement_realizes_and_pays_funding_in_one_row() -> None:
    row = entry(type="SETTLEMENT", cashFlow="5", funding="-1", change="4", currency="USDC")
    assert parts(cash(row)) == [("realized", "5"), ("funding", "-1")]


def test_what_a_row_does_not_name_is_not_lost() -> None:
    row = entry(cashFlow="5", fee="1", change="3.5", extraFees="[...]")
    bodies = cash(row)
    assert parts(bodies) == [("realized", "5"), ("commission", "-1"), ("other", "-0.5")]
    assert sum(Decimal(body["amount"]) for body in bodies) == Decimal("3.5")


def test_spot_trades_move_both_assets_so_that_the_one_wallet_is_explained() -> None:
    bodies = cash(
        entry(
            "r2", category="spot", currency="BTC", cashFlow="0.01", fee="0.00001", change="0.00999"
        ),
        entry("r1", category="spot", currency="USDT", cashFlow="-640", change="-640"),
    )
    assert [(body["asset"], body["kind"], body["amount"]) for body in bodies] == [
        ("USDT", "realized", "-640"), ("BTC", "realized", "0.01"),
        ("BTC", "commission", "-0.00001"),
    ]  # fmt: skip
    assert {body["product"] for body in bodies} == {"spot"}


@pytest.mark.parametrize(
    ("type_", "change", "kind"),
    [
        ("TRANSFER_IN", "100", "transfer_in"), ("TRANSFER_OUT", "-100", "transfer_out"),
        ("TRANSFER_IN_INS_LOAN", "5", "transfer_in"), ("BONUS", "5", "bonus"),
        ("BONUS_RECOLLECT", "-5", "bonus"), ("BONUS_TRANSFER_IN", "5", "bonus"),
        ("FEE_REFUND", "1", "rebate"), ("INTEREST", "-0.1", "interest"),
        ("CURRENCY_BUY", "1", "conversion"), ("CURRENCY_SELL", "-1", "conversion"),
        ("AIRDROP", "1", "bonus"), ("LIQUIDATION", "-3", "liquidation_fee"),
        ("OTHERS", "1", "other"),
    ],
)  # fmt: skip
def test_other_rows_are_named_by_their_type(type_: str, change: str, kind: str) -> None:
    row = entry(
        symbol="", category="", type=type_, cashFlow=change, change=change, tradeId="", fee=""
    )
    bodies = cash(row)
    assert parts(bodies) == [(kind, change)]
    assert (bodies[0]["instrument"], bodies[0]["product"]) == ("", "")
    assert bodies[0]["venue_type"] == type_


def test_the_wallet_of_options_is_kept_and_nothing_else_of_them() -> None:
    row = entry(
        category="option", symbol="BTC-30JUN23-20000-C", cashFlow="-9", fee="1", change="-10"
    )
    assert parts(cash(row)) == [("other", "-10")]


def test_rows_that_moved_nothing_tell_nothing() -> None:
    assert cash(entry(fee="0.00000000", change="0")) == []
