"""A venue's amounts keep every digit, and what is no number is refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidEvent
from shared.exchanges.amounts import known, negated, plain, sign, total

AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, places=12) | st.decimals(
    "-1E-17", "1E-17", allow_nan=False, places=18
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.300", "0.300"),
        ("-0.00000001", "-0.00000001"),
        ("1E-8", "0.00000001"),
        ("-2.50e+2", "-250"),
        ("+7", "7"),
        (".5", "0.5"),
        ("5.", "5"),
        ("0.7472000000000001", "0.7472000000000001"),
        ("12345678901234567890.123456789", "12345678901234567890.123456789"),
    ],
)
def test_a_number_becomes_plain_and_keeps_its_digits(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "NaN", "Infinity", "-inf", "1,5", "0x1", "1_000", "\u0663", "1e1000000", "."],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidEvent, match="decimal"):
        plain(text)


@pytest.mark.parametrize("value", [1, 0.1, True, None, Decimal("0.1"), ["1"]])
def test_what_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(InvalidEvent, match="decimal"):
        plain(value)


@given(AMOUNTS)
def test_every_way_to_write_a_number_means_the_same(amount: Decimal) -> None:
    for text in (str(amount), f"{amount:E}", f"{amount:f}"):
        assert Decimal(plain(text)) == amount
        assert "E" not in plain(text).upper()


@given(st.lists(AMOUNTS, max_size=5))
def test_a_sum_is_exact(amounts: list[Decimal]) -> None:
    exact = sum(map(Fraction, amounts), Fraction(0))
    assert Fraction(total(*map(str, amounts))) == exact


@given(AMOUNTS)
def test_turning_the_sign_twice_changes_nothing(amount: Decimal) -> None:
    text = plain(str(amount))
    assert Decimal(negated(negated(text))) == Decimal(text)
    assert sign(negated(text)) == -sign(text)
    assert not negated("0.00").startswith("-")


def test_nothing_said_is_nothing_known() -> None:
    assert known(None) is None
    assert known("") is None
    assert known("1E2") == "100"
