"""A short storm over change capture in every test run, and what its verdict must notice."""

from __future__ import annotations

import pytest

from tests.chaos.cdc_storm import Plan, run

SEED = 20261126


@pytest.mark.database
def test_both_sinks_equal_the_tables_after_a_storm_and_after_a_loss_that_was_told() -> None:
    outcome = run(Plan(SEED, seconds=8, calm=(0.2, 0.8), losses=1))
    assert outcome.found == []
    assert outcome.struck.total() >= 5
    assert outcome.seq > 100
    assert len(outcome.told) == 1
