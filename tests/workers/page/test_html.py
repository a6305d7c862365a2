from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import timedelta

from tests.pictures import NOW, TROUBLES, broken, sample, seen, well
from workers.page.html import POLICY, STYLE, status_page
from workers.page.picture import as_json, verdict


def page() -> str:
    return status_page(seen(broken(), TROUBLES), NOW).decode()


def test_the_verdict_says_whether_to_get_up() -> None:
    broken_break = [*well(), sample("fleet_breaks_open", 1)]
    told = [verdict(one, NOW) for one in (None, seen(well()), seen(broken_break), seen(broken()))]
    assert [(one.well, one.wakes) for one in told] == [
        (False, False), (True, False), (False, False), (False, True),
    ]  # fmt: skip
    assert told[1].text == "All is well"
    assert told[2].text == "1 problem, it can wait for the morning"
    assert re.fullmatch(r"\d+ problems, \d+ urgent", told[3].text)


def test_old_figures_are_never_all_well() -> None:
    said = verdict(seen(well()), NOW + timedelta(seconds=90))
    assert (said.text, said.wakes) == ("These figures are 90 s old: nobody looks", True)


def test_problems_come_first_each_with_what_to_do_and_its_runbook() -> None:
    text = page()
    places = [text.index(one) for one in (
        'id="verdict"', "partition 7 of orders is halted", "fleet parked resume",
        "/runbooks/streams#FleetPartitionHalted", "Last errors", "<h2>Streams</h2>",
    )]  # fmt: skip
    assert places == sorted(places)


def test_what_was_told_cannot_write_the_page() -> None:
    text = page()
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in text
    assert "<script" not in text


def test_it_needs_nothing_from_elsewhere_and_loads_itself_anew() -> None:
    text = page()
    assert re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", text) == []
    assert '<meta http-equiv="refresh" content="5">' in text
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert f"<style>{STYLE}</style>" in text
    assert f"'sha256-{digest}'" in POLICY


def test_the_json_says_the_same_and_is_plain() -> None:
    text = json.dumps(as_json(seen(broken(), TROUBLES), NOW), allow_nan=False)
    told = json.loads(text)
    assert told["wakes"] is True
    halted = next(one for one in told["problems"] if one["name"] == "FleetPartitionHalted")
    assert halted["labels"] == {"stream": "orders", "partition": "7"}
    assert halted["do"] == "mend the handler, deploy, fleet parked resume"
    assert [one["alert"] for one in told["errors"]] == ["FleetEventsParked", "FleetCaptureStopped"]
    purge = [one for one in told["samples"] if one["metric"] == "fleet_cdc_purge_seconds"]
    assert [one["value"] for one in purge] == ["inf"]
    assert as_json(None, NOW)["well"] is False
