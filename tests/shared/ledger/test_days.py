from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shared.ledger.days import spans


@given(st.sets(st.integers(0, 30)))
def test_spans_are_the_days_themselves_in_runs_that_do_not_touch(days: set[int]) -> None:
    found = spans(sorted(days))
    assert [day for span in found for day in span] == sorted(days)
    assert all(one.stop < other.start for one, other in pairwise(found))
