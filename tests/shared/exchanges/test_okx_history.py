"""OKX's answers, by hand, and what the readings make of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from shared.exchanges.errors import UnknownMarket
from shared.exchanges.okx_history import read_cash, read_fills
from shared.exchanges.venue import Account, Market
from tests.shared.exchanges.readings import (
    DAY,
    NOW,
    account_of,
    checked,
    drive,
    in_turn,
    stored,
)

LINEAR = Market("BTC-USDT-SWAP", "linear", "BTC", "USDT", "USDT", "0.01")
INVERSE = Market("BTC-USD-SWAP", "inverse", "BTC", "USD", "BTC", "100")
DATED = Market("BTC-USDT-261225", "linear", "BTC", "USDT", "USDT", "0.01")
SPOT = Market("BTC-USDT", "spot", "BTC", "USDT", "USDT", "1")
AT = NOW - 60_000


def data(*rows: Any) -> Any:
    return {"code": "0", "msg": "", "data": list(rows)}


def execution(bill: str = "1066928399999070208", **fields: Any) -> dict[str, Any]:
    return {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "tradeId": "1518905529", "ordId": "77",
        "clOrdId": "", "billId": bill, "subType": "1", "tag": "", "fillPx": "64000.1",
        "fillSz": "3", "fillPnl": "0", "side": "buy", "posSide": "net", "execType": "T",
        "feeCcy": "USDT", "fee": "-0.96", "feeRate": "-0.0005", "ts": str(AT + 1),
        "fillTime": str(AT), **fields,
    }  # fmt: skip


def fills(account: Account, *answers: Any, cursor: Any = None) -> tuple[list[Any], Any]:
    result, _ = drive(read_fills(account, cursor or {}), in_turn(*answers))
    return checked(result.events), result


# ---- fills


def test_a_fill_is_told_in_contracts_and_with_our_sign_of_the_fee() -> None:
    bodies, result = fills(account_of([LINEAR]), data(execution()))

    assert bodies == [
        {
            "account_id": 42, "venue": "okx", "product": "linear", "instrument": "BTC-USDT-SWAP",
            "position_side": "net", "trade_id": "1518905529", "order_id": "77", "side": "buy",
            "qty": "3", "price": "64000.1", "contract_size": "0.01", "fee": "0.96",
            "fee_asset": "USDT", "settle_asset": "USDT", "base_asset": "BTC",
            "quote_asset": "USDT", "executed_at_ms": AT, "venue_seq": 1066928399999070208,
            "revision": 1, "source": "sync", "liquidity": "taker", "kind": "normal",
            "realized_pnl": "0",
        }
    ]  # fmt: skip
    assert result.through_ms == NOW


def test_an_inverse_fill_has_the_dollars_of_a_contract_and_settles_in_the_base() -> None:
    row = execution(instId="BTC-USD-SWAP", feeCcy="BTC", fee="-0.0000002", fillPnl="-0.0001")
    bodies, _ = fills(account_of([INVERSE]), data(row))
    assert (bodies[0]["product"], bodies[0]["settle_asset"]) == ("inverse", "BTC")
    assert (bodies[0]["contract_size"], bodies[0]["realized_pnl"]) == ("100", "-0.0001")


def test_spot_fills_have_no_side_and_no_pnl() -> None:
    row = execution(
        instType="SPOT", instId="BTC-USDT", posSide="", feeCcy="BTC", fee="-1E-8", fillSz="0.002"
    )
    bodies, _ = fills(account_of([SPOT]), data(row))
    assert (bodies[0]["position_side"], bodies[0]["fee"]) == ("net", "0.00000001")
    assert (bodies[0]["base_asset"], bodies[0]["fee_asset"]) == ("BTC", "BTC")
    assert "realized_pnl" not in bodies[0]


def test_each_type_of_instrument_that_the_account_may_hold_is_a_question() -> None:
    def asked(*markets: Market) -> list[Any]:
        _, requests = drive(read_fills(account_of(markets), {}), lambda _: data())
        return [one.params["instType"] for one in requests]

    assert asked(LINEAR, SPOT) == ["SWAP", "SPOT"]
    assert asked(LINEAR, DATED) == ["SWAP", "FUTURES"]
    assert asked(SPOT) == ["SPOT"]


def test_pages_go_on_behind_the_id_of_the_last_row_while_they_are_full() -> None:
    """A hundred rows of one millisecond, and then some of the same."""
    newest = [execution(str(1_000 - n), tradeId=str(1_000 - n)) for n in range(100)]
    rest = [execution(str(900 - n), tradeId=str(900 - n)) for n in range(7)]
    result, requests = drive(
        read_fills(account_of([LINEAR]), {}), in_turn(data(*newest), data(*rest))
    )
    bodies = checked(result.events)
    assert [body["trade_id"] for body in bodies] == [str(n) for n in range(894, 1_001)]
    assert "after" not in requests[0].params
    assert requests[1].params["after"] == "901"
    assert requests[0].params["begin"] == requests[1].params["begin"] == NOW - 3_600_000
    assert "end" not in requests[0].params


def test_a_cut_window_goes_on_behind_its_last_id() -> None:
    ids = iter(range(10_000, 0, -1))
    account = account_of([LINEAR])
    cut, first = drive(
        read_fills(account, {}), lambda _: data(*[execution(str(next(ids))) for _ in range(100)])
    )
    assert (len(first), cut.more) == (10, True)
    assert cut.through_ms == account.since_ms
    rest, second = drive(read_fills(account, stored(cut)), in_turn(data()))
    assert second[0].params["after"] == "9001"
    assert (rest.more, rest.through_ms) == (False, NOW)


def test_a_fill_seen_before_is_not_told_again_unless_it_changed() -> None:
    account = account_of([LINEAR])
    first = data(execution("1", fee=""), execution("2", tradeId="9"))
    result, _ = drive(read_fills(account, {}), in_turn(first))
    assert [body.get("fee") for body in checked(result.events)] == ["0.96", None]

    later = data(execution("1"), execution("2", tradeId="9"), execution("3", tradeId="10"))
    bodies, _ = fills(account._replace(now_ms=NOW + 60_000), later, cursor=stored(result))
    assert [(body["trade_id"], body["revision"]) for body in bodies] == [
        ("10", 1), ("1518905529", 2),
    ]  # fmt: skip


def test_a_self_trade_keeps_both_legs() -> None:
    rows = data(execution("2", side="sell", execType="M"), execution("1"))
    bodies, _ = fills(account_of([LINEAR]), rows)
    assert [(body["trade_id"], body["side"]) for body in bodies] == [
        ("1518905529", "buy"), ("1518905529", "sell"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sub_type", "kind"),
    [
        ("1", "normal"), ("6", "normal"), ("", "normal"), ("100", "liquidation"),
        ("111", "liquidation"), ("112", "settlement"), ("113", "settlement"), ("125", "adl"),
        ("128", "adl"), ("204", "normal"),
    ],
)  # fmt: skip
def test_kinds_come_from_the_venues_marks(sub_type: str, kind: str) -> None:
    bodies, _ = fills(account_of([LINEAR]), data(execution(subType=sub_type)))
    assert bodies[0]["kind"] == kind


def test_hedged_sides_rebates_and_fills_without_a_trade_id() -> None:
    row = execution("55", posSide="short", fee="0.32", execType="M", tradeId="")
    bodies, _ = fills(account_of([LINEAR]), data(row))
    assert bodies[0]["position_side"] == "short"
    assert bodies[0]["fee"] == "-0.32"
    assert bodies[0]["liquidity"] == "maker"
    assert bodies[0]["trade_id"] == "55"


def test_what_is_listed_no_more_is_told_where_its_name_says_enough() -> None:
    gone = execution(instType="FUTURES", instId="BTC-USDT-250328")
    other = execution("2", instType="SPOT", instId="LUNA-USDT", feeCcy="LUNA")
    account = account_of([LINEAR, SPOT])
    bodies, _ = fills(account, data(gone), data(other))
    assert {body["instrument"]: body["contract_size"] for body in bodies} == {
        "BTC-USDT-250328": "0.01", "LUNA-USDT": "1",
    }  # fmt: skip
    with pytest.raises(UnknownMarket) as raised:
        fills(account_of([LINEAR, INVERSE]), data(execution(instId="LUNA-USD-SWAP")))
    assert raised.value.wanted == ("inverse", "LUNA-USD-SWAP")


# ---- bills


def bill(ref: str = "100", **fields: Any) -> dict[str, Any]:
    return {
        "billId": ref, "instType": "SWAP", "instId": "BTC-USDT-SWAP", "ccy": "USDT", "type": "2",
        "subType": "2", "balChg": "0", "bal": "1000", "posBal": "0", "posBalChg": "0", "pnl": "0",
        "fee": "0", "sz": "3", "px": "64000", "ts": str(AT), **fields,
    }  # fmt: skip


def cash(*rows: Any) -> list[Any]:
    account = account_of([LINEAR, INVERSE, SPOT])
    result, _ = drive(read_cash(account, {}), in_turn(data(*rows)))
    bodies = checked(result.events)
    identities = [
        (one["venue_type"], one["ref"], one["asset"], one["instrument"]) for one in bodies
    ]
    assert len(identities) == len(set(identities))
    for asset in {row["ccy"] for row in rows}:
        told = sum(Decimal(body["amount"]) for body in bodies if body["asset"] == asset)
        assert told == sum(Decimal(row["balChg"]) for row in rows if row["ccy"] == asset)
    return bodies


def parts(bodies: list[Any]) -> list[tuple[str, str]]:
    return [(body["kind"], body["amount"]) for body in bodies]


def test_a_contracts_bill_becomes_pnl_and_fee() -> None:
    bodies = cash(bill(balChg="11.39367891", pnl="12.34567891", fee="-0.952"))
    assert parts(bodies) == [("realized", "12.34567891"), ("commission", "-0.952")]
    assert [body["ref"] for body in bodies] == ["100", "100:fee"]
    assert bodies[0]["product"] == "linear"


def test_a_bill_that_only_opened_is_its_fee() -> None:
    assert parts(cash(bill(balChg="-0.96", fee="-0.96"))) == [("commission", "-0.96")]


def test_funding_is_what_moved_the_wallet_whether_the_bill_names_it_or_not() -> None:
    named = bill("2", type="8", subType="173", balChg="-0.5", pnl="-0.5")
    plain = bill("1", type="8", subType="174", balChg="0.25", pnl="", fee="")
    assert parts(cash(named, plain)) == [("funding", "0.25"), ("funding", "-0.5")]


def test_both_assets_of_a_spot_trade_are_explained() -> None:
    spot = {"instType": "SPOT", "instId": "BTC-USDT"}
    bodies = cash(
        bill("2", **spot, ccy="BTC", balChg="0.001998", fee="-0.000002"),
        bill("1", **spot, ccy="USDT", balChg="-128"),
    )
    assert [(body["asset"], body["kind"], body["amount"]) for body in bodies] == [
        ("USDT", "realized", "-128"), ("BTC", "realized", "0.002000"),
        ("BTC", "commission", "-0.000002"),
    ]  # fmt: skip
    assert {body["product"] for body in bodies} == {"spot"}


def test_the_margin_of_an_isolated_position_is_a_transfer_beside_its_pnl() -> None:
    bodies = cash(
        bill("2", balChg="100", posBalChg="-95", pnl="6", fee="-1"),
        bill("1", type="8", balChg="0", posBalChg="-0.3", pnl="-0.3"),
    )
    assert parts(bodies) == [
        ("funding", "-0.3"), ("transfer_in", "0.3"),
        ("realized", "6"), ("commission", "-1"), ("transfer_in", "95"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("type_", "change", "kind"),
    [
        ("1", "100", "transfer_in"), ("1", "-100", "transfer_out"), ("6", "-5", "transfer_out"),
        ("7", "-0.1", "interest"), ("10", "-2", "insurance"), ("27", "1", "conversion"),
        ("250", "-1", "other"),
    ],
)  # fmt: skip
def test_other_bills_are_named_by_their_type(type_: str, change: str, kind: str) -> None:
    bodies = cash(bill(type=type_, instType="", instId="", balChg=change, fee="", pnl=""))
    assert parts(bodies) == [(kind, change)]
    assert (bodies[0]["venue_type"], bodies[0]["instrument"]) == (type_, "")


def test_of_margin_and_options_only_the_wallet_is_kept() -> None:
    row = bill(instType="MARGIN", instId="BTC-USDT", balChg="-9", fee="-1", pnl="-8")
    assert parts(cash(row)) == [("other", "-9")]


def test_old_bills_are_in_the_archive_and_recent_ones_are_not() -> None:
    account = account_of([LINEAR], since_ms=NOW - 400 * DAY)
    result, requests = drive(read_cash(account, {}), lambda _: data())
    assert requests[0].path == "account/bills-archive"
    assert NOW - int(requests[0].params["begin"]) < 90 * DAY
    while result.more:
        result, _ = drive(read_cash(account, stored(result)), lambda _: data())
    _, last = drive(read_cash(account, stored(result)), lambda _: data())
    assert [one.path for one in last] == ["account/bills"]
