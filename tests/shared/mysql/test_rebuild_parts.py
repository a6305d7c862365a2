"""What of a rebuild needs no server: when a shadow holds, and what is done together."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mysql.rebuild import Account, groups
from shared.mysql.rebuild_shadow import NO_ROW, Shadow, Versions, holds, unfolded

KEY = (1, "linear", "BTCUSDT", "net")
POSITION = unfolded(KEY).position._replace(fills=3, realized=Decimal(5))
OTHER = POSITION._replace(realized=Decimal(6))
SHADOW = Shadow(POSITION, seen=4, complete=True)


@pytest.mark.parametrize("live", [POSITION, OTHER, None])
def test_a_shadow_holds_whatever_the_row_says_if_it_was_not_written_since(live: object) -> None:
    assert holds(SHADOW, live, Versions(4, 2))  # type: ignore[arg-type]
    assert holds(SHADOW._replace(seen=0), None, NO_ROW)


@pytest.mark.parametrize(
    ("live", "versions", "held"),
    [
        (POSITION, Versions(6, 2), True),
        (POSITION, Versions(6, 4), True),
        (POSITION, Versions(6, 5), False),  # something older changed since
        (OTHER, Versions(6, 2), False),  # the live row was damaged, or fills came before its end
        (POSITION, Versions(3, 0), False),  # the row was gone meanwhile: it is another one
        (None, NO_ROW, False),
    ],
)
def test_a_shadow_holds_if_only_newer_fills_came(
    live: object, versions: Versions, held: bool  # noqa: FBT001 - a parameter of pytest
) -> None:
    assert holds(SHADOW, live, versions) is held  # type: ignore[arg-type]


def test_what_is_not_folded_to_its_end_holds_nothing() -> None:
    assert not holds(None, POSITION, Versions(4, 2))
    assert not holds(SHADOW._replace(complete=False), POSITION, Versions(4, 2))


@given(st.lists(st.integers(0, 30)), st.integers(0, 40))
def test_groups_keep_the_order_and_the_bound_and_large_accounts_stand_alone(
    sizes: list[int], bound: int
) -> None:
    accounts = [Account(number, fills) for number, fills in enumerate(sizes)]
    made = groups(accounts, bound)
    assert [account for group in made for account in group] == accounts
    for group in made:
        assert len(group) == 1 or sum(account.fills for account in group) <= bound
    for group, following in pairwise(made):
        assert sum(account.fills for account in group) + following[0].fills > bound
