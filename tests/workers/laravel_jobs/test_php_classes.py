"""The generated PHP classes: a model's words stand in them, and every run gives the same bytes."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from workers.laravel_jobs import php_classes
from workers.laravel_jobs.arguments import Arguments
from workers.laravel_jobs.outgoing import OUTGOING
from workers.laravel_jobs.php_classes import INCOMING, Parameter, Pins, parameters, write_classes

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "fixtures" / "laravel_jobs"
DESK = ROOT / "deploy" / "desk" / "laravel" / "app" / "Jobs" / "Fleet"


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.glob("*"))}


@pytest.mark.parametrize("checked_in", [GOLDEN, DESK], ids=["golden", "desk"])
def test_what_is_checked_in_is_what_is_generated(tmp_path: Path, checked_in: Path) -> None:
    written = write_classes(tmp_path / "app" / "Jobs" / "Fleet")
    assert texts(checked_in) == texts(tmp_path / "app" / "Jobs" / "Fleet")
    assert [path.stem for path in written] == [
        *INCOMING,
        *(name.rpartition("\\")[2] for name in OUTGOING),
    ]


def test_a_second_run_writes_the_same_files_again(tmp_path: Path) -> None:
    assert write_classes(tmp_path) == write_classes(tmp_path)
    assert len(texts(tmp_path)) == 7


def test_connection_and_queues_are_pinned_as_the_settings_say() -> None:
    made = php_classes.php_classes(Pins("redis'\\x", "books", "back"))
    for name, text in made.items():
        queue = "books" if name in INCOMING else "back"
        assert "$this->onConnection('redis\\'\\\\x');" in text
        assert f"$this->onQueue('{queue}');" in text


def test_jobs_towards_python_explain_themselves_where_php_runs_them() -> None:
    made = php_classes.php_classes(Pins())
    for name in INCOMING:
        assert "throw new LogicException(" in made[name]
        assert "Python runs this job." in made[name]
    assert all("LogicException" not in text for name, text in made.items() if name not in INCOMING)


def test_only_what_may_run_once_is_unique() -> None:
    made = php_classes.php_classes(Pins())
    unique = {name for name, text in made.items() if "implements ShouldBeUnique, " in text}
    assert unique == {"SyncAccount", "RebuildPnl"}
    assert all("public int $uniqueFor = " in made[name] for name in unique)


def test_parameters_are_the_fields_under_their_php_names() -> None:
    class Some(Arguments):
        account_id: int = Field(description="an id")
        from_: date | None = Field(default=None, alias="from", description="a day")
        ids: list[int] = Field(description="ids")
        sure: bool = Field(description="yes or no")

    assert parameters(Some) == [
        Parameter("accountId", "int", "int", "an id", None),
        Parameter("from", "?string", "string|null", "a day", "null"),
        Parameter("ids", "array", "list<int>", "ids", None),
        Parameter("sure", "bool", "bool", "yes or no", None),
    ]


def test_a_field_without_a_description_is_refused() -> None:
    class Silent(Arguments):
        account_id: int

    with pytest.raises(ValueError, match="account_id has no description"):
        parameters(Silent)


def test_a_default_that_php_would_not_know_is_refused() -> None:
    class Chosen(Arguments):
        known: ClassVar[int] = 1
        tries: int = Field(default=3, description="tries")

    with pytest.raises(ValueError, match="default of tries must be None"):
        parameters(Chosen)
