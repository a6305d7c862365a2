"""Worked examples that exchanges publish, each with the page it stands on.

Where a page rounds what it prints, the exact figure is asserted and then that the printed one is it
within the page's own rounding.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from shared.ledger.fill import Fill, merge
from shared.ledger.position import FLAT, average_entry, fold
from tests.ledger_world import report

D = Decimal
SETTLE = {"linear": "USDT", "inverse": "BTC"}


def folded(product: str, *trades: str, size: str = "1") -> Any:
    """`folded("linear", "buy 1 @ 5000", "sell 1 @ 5500")`."""
    fills = [_fill(product, trade, size) for trade in trades]
    return fold(FLAT, fills, product)


def _fill(product: str, trade: str, size: str) -> Fill:
    side, qty, _, price = trade.split()
    told = report(
        product=product, side=side, qty=qty, price=price, contract_size=size,
        settle_asset=SETTLE[product],
    )  # fmt: skip
    return merge([told])[0]


def entry(product: str, *trades: str, size: str = "1") -> Decimal:
    found = average_entry(product, folded(product, *trades, size=size).state, D(size))
    assert found is not None
    return found


def realized(product: str, *trades: str, size: str = "1") -> Decimal:
    end = folded(product, *trades, size=size)
    return Decimal(end.realized)


def printed(figure: Decimal, text: str, *, ulps: int = 1) -> bool:
    """Whether a page may print `figure` as `text`: less than `ulps` units of its last digit off."""
    shown = D(text)
    return abs(figure - shown) < ulps * D(1).scaleb(int(shown.as_tuple().exponent))


# ---- inverse


def test_bybit_average_entry_of_an_inverse_contract() -> None:
    """Bybit help, "Profit & Loss calculations (Inverse Contracts)", 1) Average Entry Price: 1,000
    at 5,000 and 2,000 at 6,000; total value 0.53333334 BTC; 5,625.00.
    """
    trades = ("buy 1000 @ 5000", "buy 2000 @ 6000")
    held = folded("inverse", *trades).state
    assert held.cost == D("0.533333333333333333")
    assert printed(held.cost, "0.53333334")
    assert D("5625.00") == entry("inverse", *trades).quantize(D("0.000000000001"))


@pytest.mark.parametrize(
    ("opened", "closed", "exact", "shown"),
    [
        ("buy 1000 @ 5000", "sell 1000 @ 5500", Fraction(1000, 5000) - Fraction(1000, 5500),
         "0.00001819"),
        ("sell 1000 @ 5000", "buy 1000 @ 4500", Fraction(1000, 4500) - Fraction(1000, 5000),
         "0.00002223"),
    ],
)  # fmt: skip
def test_bybit_gain_of_an_inverse_contract(
    opened: str, closed: str, exact: Fraction, shown: str
) -> None:
    """The same page, 2) Unrealized P&L: 1,000 long from 5,000 to 5,500 is 0.01819 BTC, 1,000 short
    from 5,000 to 4,500 is 0.02223 BTC. The page rounds the gain of one contract up, to 8 decimals,
    and multiplies.
    """
    found = realized("inverse", opened, closed)
    assert abs(Fraction(found) - exact) <= Fraction(1, 10**18)
    assert printed(found / 1000, shown)


def test_bybit_a_closed_inverse_position() -> None:
    """Bybit FAQ on the quotation of inverse perpetuals, as mobie.io quotes it ("What is the
    quotation method of Bybit inverse perpetual contracts?"): 10,000 long from 8,000 to 12,500 is
    1.25 - 0.8 = 0.45 BTC.
    """
    assert realized("inverse", "buy 10000 @ 8000", "sell 10000 @ 12500") == D("0.45")


def test_bybit_what_is_an_inverse_contract() -> None:
    """Bybit help, "What is Inverse Contract?": 10,000 long from 23,000 (0.435 BTC) to 25,000 (0.4
    BTC) gains 0.035 BTC, fees and funding aside.
    """
    assert folded("inverse", "buy 10000 @ 25000").state.cost == D("0.4")
    found = realized("inverse", "buy 10000 @ 23000", "sell 10000 @ 25000")
    assert printed(found, "0.035")
    assert abs(Fraction(found) - (Fraction(10, 23) - Fraction(10, 25))) <= Fraction(1, 10**18)


def test_bitmex_average_entry_price() -> None:
    """BitMEX help 6205210741277, "How to Calculate Average Entry Price": 100 contracts at 29,800
    and 200 at 30,000. BitMEX floors the value of each lot to a satoshi and comes to 29,933.07; the
    contracts' own value gives 29,933.035714...
    """
    trades = ("buy 100 @ 29800", "buy 200 @ 30000")
    exact = Fraction(300) / (Fraction(100, 29800) + Fraction(200, 30000))
    ours = entry("inverse", *trades)
    assert abs(Fraction(ours) - exact) < Fraction(1, 10**9)
    floored = D("0.00335570") + 2 * D("0.00333333")
    assert printed(300 / floored, "29933.07")
    satoshis = (folded("inverse", *trades).state.cost - floored) / D("0.00000001")
    assert 0 <= satoshis < 3  # one for each lot


def test_bitmex_average_entry_price_of_a_short() -> None:
    """BitMEX support in its Russian group (parrot.ru/bitmexru): 1,000 short at 50,000 and 3,000 at
    50,035 stand at 50,026.2454071.
    """
    found = entry("inverse", "sell 1000 @ 50000", "sell 3000 @ 50035")
    assert printed(found, "50026.2454071")


def test_bitmex_realised_and_unrealised_of_a_perpetual() -> None:
    """BitMEX documentation as quoted in "How to calculate average entry price for perpetual swap
    contracts" (quant.stackexchange 48730): 1,000 XBTUSD long at 1,000, marked at 1,250, is 0.20 XBT
    ahead; 500 of them sold at 1,500 realize 0.17 XBT, at 1,250 they would have realized 0.10 XBT.
    """
    assert realized("inverse", "buy 1000 @ 1000", "sell 1000 @ 1250") == D("0.20")
    assert realized("inverse", "buy 1000 @ 1000", "sell 500 @ 1250") == D("0.10")
    part = folded("inverse", "buy 1000 @ 1000", "sell 500 @ 1500")
    assert printed(part.realized, "0.17")
    assert (part.state.qty, part.state.cost) == (500, D("0.5"))
    assert average_entry("inverse", part.state, D(1)) == 1000


@pytest.mark.parametrize(
    ("opened", "closed", "share"),
    [
        ("buy 10 @ 100", "sell 10 @ 200", "0.5"),
        ("sell 10 @ 100", "buy 10 @ 200", "-0.5"),
        ("buy 10 @ 100", "sell 10 @ 50", "-1"),
        ("sell 10 @ 100", "buy 10 @ 50", "1"),
    ],
)
def test_bingx_coin_margined_futures(opened: str, closed: str, share: str) -> None:
    """BingX help 360045680954, "PnL/Forced Liquidation of Coin-Margined Standard Futures": 10 BTC
    opened at 100 with a margin of 10 BTC; twice the price is +-50 %, half of it -+100 %. Trade size
    times opening price is the face value: 10 contracts of 100 USD.
    """
    assert realized("inverse", opened, closed, size="100") / 10 == D(share)


@pytest.mark.parametrize("side", [1, -1])
def test_binance_coin_m_formula(side: int) -> None:
    """Binance guide 360039304272, "A Beginner's Guide to Futures Trading": COIN-M Unrealized PNL =
    position size * contract multiplier * direction * (1 / entry price - 1 / mark price). A BTCUSD
    contract is 100 USD.
    """
    way, back = ("buy", "sell") if side > 0 else ("sell", "buy")
    gained = realized("inverse", f"{way} 37 @ 64123.1", f"{back} 37 @ 61999.7", size="100")
    formula = 37 * 100 * side * (1 / Fraction("64123.1") - 1 / Fraction("61999.7"))
    assert abs(Fraction(gained) - formula) <= Fraction(1, 10**18)


# ---- linear


def test_bybit_average_entry_of_a_usdt_contract() -> None:
    """Bybit help, "Profit & Loss calculations (USDT Contract)", 1): 0.5 BTC at 5,000 and 0.3 BTC at
    6,000 are 4,300 USDT for 0.8 BTC: 5,375.
    """
    trades = ("buy 0.5 @ 5000", "buy 0.3 @ 6000")
    assert folded("linear", *trades).state[:2] == (D("0.8"), 4300)
    assert entry("linear", *trades) == 5375


@pytest.mark.parametrize(
    ("opened", "closed", "gain"),
    [("buy 0.2 @ 7000", "sell 0.2 @ 7500", 100), ("sell 0.4 @ 6000", "buy 0.4 @ 5000", 400)],
)
def test_bybit_gain_of_a_usdt_contract(opened: str, closed: str, gain: int) -> None:
    """The same page, 2): 0.2 BTC long from 7,000 to 7,500 is +100 USDT, 0.4 BTC short from 6,000 to
    5,000 is +400 USDT.
    """
    assert realized("linear", opened, closed) == gain


def test_bybit_closed_pnl_is_ours_less_fees_and_funding() -> None:
    """The same page, 3): the position's gain of 400 less 1.32 to open, 1.10 to close and 2.10 of
    funding. Bybit nets them in `closedPnl`; here they are three figures, so nothing counts twice.
    """
    told = [
        report(side="sell", qty="0.4", price="6000", fee="1.32", fee_asset="USDT"),
        report(side="buy", qty="0.4", price="5000", fee="1.10", fee_asset="USDT", trade_id="2"),
    ]
    fills = [merge([one])[0] for one in told]
    gain = fold(FLAT, fills, "linear").realized
    assert gain == 400
    assert gain - D("1.32") - D("1.10") - D("2.10") == D("395.48")


@pytest.mark.parametrize(
    ("opened", "closed"),
    [("buy 1 @ 5000", "sell 1 @ 5500"), ("sell 1 @ 5000", "buy 1 @ 4500")],
)
def test_binance_usd_m_long_and_short(opened: str, closed: str) -> None:
    """Binance guide 360039304272, "A Beginner's Guide to Futures Trading": 1 BTC from 5,000 to
    5,500 long, and from 5,000 to 4,500 short, is 500 USD each.
    """
    assert realized("linear", opened, closed) == 500


def test_kucoin_contracts_of_a_thousandth() -> None:
    """KuCoin help 26685254904601, "USDT-Margined Futures Position Info": 1,000 contracts of 0.001
    BTC at 50,000 and 2,000 at 60,000 are 170,000 USDT: 56,666.7. 1,000 of them from 50,000 to
    55,000 are 5,000 USDT ahead.
    """
    trades = ("buy 1000 @ 50000", "buy 2000 @ 60000")
    assert folded("linear", *trades, size="0.001").state.cost == 170_000
    assert printed(entry("linear", *trades, size="0.001"), "56666.7")
    assert realized("linear", trades[0], "sell 1000 @ 55000", size="0.001") == 5000
