from __future__ import annotations

import ccxt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.exchanges.signing import urlencoded

VALUES = st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False)


@given(st.dictionaries(st.text(), VALUES))
def test_a_query_is_that_of_ccxt(params: dict[str, object]) -> None:
    assert urlencoded(params) == ccxt.Exchange.urlencode(params)


def test_lists_are_left_to_ccxt() -> None:
    params = {"ids": ["1", "2"], "b": "x y"}
    assert urlencoded(params, True) == ccxt.Exchange.urlencode(params, True)


@pytest.mark.parametrize("text", ["٣", "Ⅷ", "é", "a-b.c_d~e", "", " "])
def test_what_only_looks_like_a_letter_or_digit_is_quoted(text: str) -> None:
    assert urlencoded({text: text}) == ccxt.Exchange.urlencode({text: text})
