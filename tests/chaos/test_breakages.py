from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.chaos.breakages import BREAKAGES
from tests.chaos.breaking import describe, expected
from tests.chaos.own_fleet import EVERY_ROLE, own_fleet
from tests.chaos.watching import Watch
from workers.alerts import ALERTS

CHEAP = [name for name, row in BREAKAGES.items() if row.cheap]
ROLES = ("metrics", "streams", "relay", "rq", "collector", "audit")
SEEN_SECONDS = 30
CLEAR_SECONDS = 60


def test_there_are_more_than_ten_ways_and_each_names_alerts_of_the_table() -> None:
    assert len(BREAKAGES) > 10
    for name, row in BREAKAGES.items():
        assert expected(row) <= set(ALERTS), name
        assert set(row.roles) <= set(EVERY_ROLE), name
        assert len(describe(name)) == 3, name


def test_there_is_a_way_to_see_every_page() -> None:
    shown = {row.alert for row in BREAKAGES.values()} | {
        other for row in BREAKAGES.values() for other in row.also
    }
    pages = {name for name, alert in ALERTS.items() if alert.severity == "page"}
    assert pages <= shown


@pytest.mark.any_database
def test_what_is_broken_at_once_is_seen_each_by_its_alert_and_goes_with_its_cure(
    servers: Mapping[str, str], tmp_path: Path
) -> None:
    with own_fleet(servers, tmp_path, exchange=False, history=False) as fleet:
        fleet.start(*ROLES)
        watch = Watch(fleet)
        for name in CHEAP:
            BREAKAGES[name].breaks(fleet)
        for name in CHEAP:
            alert = BREAKAGES[name].alert
            assert watch.wait_for(alert, SEEN_SECONDS) is not None, f"{name}: no {alert}"
        for name in CHEAP:
            BREAKAGES[name].cures(fleet)
        for name in CHEAP:
            alert = BREAKAGES[name].alert
            assert watch.wait_without(alert, CLEAR_SECONDS) is not None, f"{name}: still {alert}"


@pytest.mark.parametrize("name", CHEAP)
def test_a_cheap_one_needs_no_role_that_the_short_run_has_not(name: str) -> None:
    assert set(BREAKAGES[name].roles) <= {*ROLES, "timescale"}
