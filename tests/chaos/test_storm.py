"""A short storm in every test run, of faults that reach nobody else on the servers."""

from __future__ import annotations

import pytest

from tests.chaos.gates import is_commit
from tests.chaos.storm import Plan, run

SEED = 20261123


@pytest.mark.database
@pytest.mark.parametrize("direct", [True, False], ids=["redis_keeps", "redis_loses"])
def test_a_fleet_in_a_storm_books_every_event_exactly(*, direct: bool) -> None:
    plan = Plan(
        seed=SEED + direct,
        seconds=4,
        per_second=150,
        reaches={"ours"} if direct else {"ours", "ours_loss"},
        direct=direct,
        nodes=2,
        relays=1,
        partitions=4,
    )
    outcome = run(plan)
    assert outcome.found == []
    assert sum(outcome.struck.values()) > 0
    assert outcome.takeovers >= 2 * plan.partitions


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x07\x00\x00\x00\x03COMMIT", True),
        (b"\x07\x00\x00\x00\x03commit", True),
        (b"\x09\x00\x00\x00\x03SELECT 1", False),
        (b"\x01\x00\x00\x00\x0e", False),
        (b"", False),
    ],
)
def test_a_gate_knows_a_commit(data: bytes, *, expected: bool) -> None:
    assert is_commit(data) is expected
