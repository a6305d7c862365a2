from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.exchanges.answers import parsed

NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
)
BROKEN = ["", "NaN", "[Infinity]", '{"a":-Infinity}', "[1", "[1]x", "[" * 10**5]
VALUES = st.recursive(
    st.none() | st.booleans() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(NUMBERS)
def test_a_number_is_the_text_that_stood_there(number: str) -> None:
    assert parsed(f'{{"a":{number},"b":[{number} , "{number}"]}}') == {
        "a": number,
        "b": [number, number],
    }


@given(VALUES)
def test_everything_else_is_as_json_says(value: Any) -> None:
    assert parsed(json.dumps(value)) == value


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are json's
        parsed(text)
