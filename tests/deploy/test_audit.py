from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.audit import audit, verdict

FINE = {"name": "celery", "version": "5.7.0", "vulns": []}
HOLED = {
    "name": "jinja2", "version": "2.4.1",
    "vulns": [{"id": "GHSA-1", "fix_versions": ["2.10.1"]}, {"id": "GHSA-2", "fix_versions": []}],
}  # fmt: skip
LEFT_OUT = {"name": "flower", "skip_reason": "not found"}


def told(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages})


def test_what_is_known_is_listed_with_its_cure() -> None:
    assert verdict(told(FINE, HOLED), "") == (
        1,
        (
            "jinja2 2.4.1: GHSA-1, mended in 2.10.1",
            "jinja2 2.4.1: GHSA-2, mended in no version yet",
        ),
    )


def test_nothing_known_is_said_with_the_number_of_packages() -> None:
    assert verdict(told(FINE), "") == (0, ("1 packages, no known vulnerability",))


def test_a_package_left_out_is_no_audit() -> None:
    code, lines = verdict(told(FINE, LEFT_OUT), "")
    assert code == 2
    assert lines[1:] == ("flower: not found",)


def test_a_database_that_cannot_be_reached_is_no_audit() -> None:
    code, lines = verdict("", "ERROR: Failed to resolve\nERROR: Could not connect to OSV\n")
    assert code == 2
    assert lines == (
        "NOT AUDITED: the dependencies were not compared with any advisory",
        "ERROR: Could not connect to OSV",
    )


def test_no_package_at_all_is_no_audit() -> None:
    assert verdict(told(), "")[0] == 2
    assert verdict("null", "")[0] == 2


def test_a_program_that_is_not_there_is_no_audit(tmp_path: Path) -> None:
    assert audit(tmp_path / "pip-audit", Path("requirements.lock"))[0] == 2
