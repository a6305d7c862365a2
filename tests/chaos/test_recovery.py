"""The shortest recovery drill in every test run: MySQL is set back, both sinks are ahead of it."""

from __future__ import annotations

import pytest

from tests.chaos.recovery import LOSSES, Plan, full_plan, run

SEED = 20261126


@pytest.mark.database
def test_a_mysql_of_the_past_ends_with_books_that_tie_and_sinks_that_are_the_same() -> None:
    outcome = run(Plan(SEED, ["mysql"], seconds=1.5, audit_elsewhere=True))
    assert outcome.found == []
    assert outcome.epoch == 2
    assert outcome.fills > 50
    assert outcome.took["mysql"].keys() >= {"loss and restore", "fleet recover"}


def test_the_full_drill_has_every_loss() -> None:
    assert sorted(full_plan(1, 5).losses) == sorted(LOSSES)
    assert full_plan(1, 5).audit_elsewhere != full_plan(2, 5).audit_elsewhere
