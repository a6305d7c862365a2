"""A short storm over the exchange sync in every test run."""

from __future__ import annotations

import pytest

from tests.chaos.sync_storm import MID_BATCH, Plan, run

SEED = 20261126


@pytest.mark.database
def test_a_sync_that_is_killed_again_and_again_books_every_fill_once() -> None:
    outcome = run(Plan(SEED, kills=5, seconds_most=60))
    assert outcome.found == []
    assert outcome.struck[MID_BATCH] == 5
    assert outcome.fills > 50
