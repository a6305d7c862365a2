"""The job: which accounts, from where, what it tells; and all of it through RQ and from Laravel."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.errors import FleetError
from shared.mysql.book import Book
from shared.mysql.connection import connect
from shared.mysql.content_hash import content_hash, hashes
from shared.settings import Settings
from tests.ledger_world import FIRST_DAY, report, retold, trades
from tests.runtime_world import World
from tests.waiting import eventually
from tests.workers.conftest import Fleet
from tests.workers.fleet_env import basics, forget_rq, free_port, process
from workers.jobs import operator
from workers.jobs.rebuild import Bounds, rebuild, run
from workers.laravel_jobs import rebuild_pnl
from workers.laravel_jobs.context import Context

pytestmark = pytest.mark.database

ACCOUNTS = (1, 2, 3, 4)


class Told:
    """Progress as the job sees it; stops after so many updates."""

    def __init__(self, checkpoint: Any = None, stop_after: int = 10_000) -> None:
        self.checkpoint = checkpoint
        self.left = stop_after
        self.done: list[int] = []
        self.totals: set[int | None] = set()

    def update(self, done: int, total: int | None = None, *, checkpoint: Any, note: str) -> None:
        del note
        self.left -= 1
        self.done.append(done)
        self.totals.add(total)
        self.checkpoint = json.loads(json.dumps(checkpoint))

    def cancelled(self) -> bool:
        return self.left <= 0


@pytest.fixture
def rq(settings_for: Callable[..., Settings]) -> Iterator[Any]:
    with closing(connect(settings_for("rq").mysql)) as connection:
        yield connection


@pytest.fixture
def fresh_rq() -> Iterator[None]:
    forget_rq()
    yield
    forget_rq()


def fill_books(world: World, fills: int = 80) -> dict[int, str]:
    """Content hashes of four accounts with some fills each."""
    draw = random.Random(fills)
    made = trades(fills, fills, accounts=len(ACCOUNTS))
    Book(world.connection).record_fills([*made, *(r for one in made for r in retold(draw, one))])
    world.connection.commit()
    return content(world)


def content(world: World) -> dict[int, str]:
    world.connection.rollback()
    found = hashes(world.connection, ACCOUNTS)
    world.connection.rollback()
    return {account: content_hash(one) for account, one in found.items()}


def test_all_accounts_are_rebuilt_and_those_that_were_wrong_are_named(
    world: World, rq: Any
) -> None:
    expected = fill_books(world)
    world.run("DELETE FROM fleet_positions WHERE account_id = 3")
    before = content(world)[3]
    ended = rebuild(rq, told := Told())
    named = ended["differing"].pop("3")
    assert named.pop("positions") > 0
    assert named == {"before": before, "after": expected[3]}
    assert ended == {
        "accounts": 4, "fills": 80, "identical": 3, "changed": 1, "differing": {}, "refused": {},
        "repaired": 0,
    }  # fmt: skip
    assert content(world) == expected
    assert told.done[-1] == 80
    again = rebuild(rq, Told(), bounds=Bounds(small=3, step=5))
    assert (again["accounts"], again["identical"]) == (4, 4)


def test_one_account_alone_is_rebuilt_and_an_unknown_one_is_said(world: World, rq: Any) -> None:
    fill_books(world)
    world.run("DELETE FROM fleet_positions")
    ended = rebuild(rq, told := Told(), 2)
    assert (ended["accounts"], list(ended["differing"])) == (1, ["2"])
    assert told.totals == {None, ended["fills"]}
    assert {row[0] for row in world.rows("SELECT account_id FROM fleet_positions")} == {2}
    with pytest.raises(FleetError, match="account 9: nothing was ever booked"):
        rebuild(rq, Told(), 9)


@pytest.mark.parametrize("from_reports", [False, True])
def test_a_cancelled_job_goes_on_where_it_was(
    world: World, rq: Any, from_reports: bool  # noqa: FBT001 - a parameter of pytest
) -> None:
    expected = fill_books(world)
    world.run("UPDATE fleet_positions SET qty = qty + 1")
    if from_reports:
        world.run("UPDATE fleet_fills SET price = price + 1")
    bounds, checkpoint, runs = Bounds(small=10, step=5), None, 0
    while True:
        told = Told(checkpoint, stop_after=6)
        ended = rebuild(rq, told, from_reports=from_reports and not runs, bounds=bounds)
        checkpoint, runs = told.checkpoint, runs + 1
        if not told.cancelled():
            break
    assert runs > 2
    assert content(world) == expected
    assert (ended["accounts"], ended["changed"], ended["fills"]) == (4, 4, 80)
    assert sorted(ended["differing"]) == ["1", "2", "3", "4"]
    assert ended["repaired"] == (80 if from_reports else 0)


def test_fills_that_are_wrong_or_gone_come_again_from_their_reports(
    world: World, rq: Any
) -> None:
    expected = fill_books(world)
    fills = world.rows("SELECT * FROM fleet_fills")
    world.run("UPDATE fleet_fills SET qty = 3, fee = 9, value = 1, position_side = 'long'"
              " WHERE account_id = 2")  # fmt: skip
    world.run("DELETE FROM fleet_fills WHERE account_id = 3")
    ended = rebuild(rq, Told(), from_reports=True)
    assert ended["repaired"] == sum(fill[0] in {2, 3} for fill in fills)
    assert world.rows("SELECT * FROM fleet_fills") == fills
    assert content(world) == expected
    assert ended["changed"] == 0


def test_an_account_that_no_column_can_hold_is_refused_and_stops_no_other(
    world: World, rq: Any
) -> None:
    expected = fill_books(world)
    world.run("UPDATE fleet_positions SET qty = 1")
    world.run("UPDATE fleet_fills SET qty = 99999999999999999999 WHERE account_id = 2")
    for bounds in (Bounds(), Bounds(small=1, step=5)):
        ended = rebuild(rq, Told(), bounds=bounds)
        assert list(ended["refused"]) == ["2"]
        assert "20 digits" in ended["refused"]["2"]
        assert ended["accounts"] == 4
    found = content(world)
    assert {account: found[account] for account in (1, 3, 4)} == {
        account: expected[account] for account in (1, 3, 4)
    }
    kept = world.rows("SELECT DISTINCT qty FROM fleet_positions WHERE account_id = 2")
    assert kept == [(1,)]


def test_a_position_that_fills_left_is_gone_after_the_rebuild(world: World, rq: Any) -> None:
    first = report(executed_at_ms=FIRST_DAY)
    Book(world.connection).record_fills([first])
    told = {**json.loads(first.data), "revision": 2, "position_side": "long"}
    Book(world.connection).record_fills([report(**told)])
    world.connection.commit()
    world.run("INSERT INTO fleet_position_days SELECT account_id, product, instrument, 'net',"
              " day, settle_asset, qty, cost, unknown_basis_qty, realized, fills, contract_size"
              " FROM fleet_position_days")  # fmt: skip
    ended = rebuild(rq, Told())
    assert ended["differing"]["1"]["position_days"] == 1
    assert world.rows("SELECT position_side FROM fleet_position_days") == [("long",)]


def test_the_operator_job_works_as_the_role_rq(
    world: World, settings_for: Callable[..., Settings]
) -> None:
    fill_books(world)
    world.run("DELETE FROM fleet_pnl_daily")
    progress: Any = Told()
    ended = run(settings_for("rq"), progress, from_reports=True)
    assert ended["changed"] == 4


@pytest.mark.usefixtures("fresh_rq")
def test_an_operator_starts_it_and_a_worker_of_its_role_does_it(
    world: World,
    fleet: Fleet,
    settings_for: Callable[..., Settings],
    environ_for: Callable[..., dict[str, str]],
    tmp_path: Path,
) -> None:
    expected = fill_books(world)
    world.run("DELETE FROM fleet_positions")
    queued = fleet("rebuild", "--account", "3", "--no-watch")
    assert queued.exit_code == 0, queued.output
    job_id = queued.output.split()[-1]
    environ = {**basics(), **environ_for("rq", APP_NAME="Desk")}
    environ["FLEET_METRICS_PORT"] = str(free_port())
    settings = settings_for("cli", APP_NAME="Desk")
    command = [sys.executable, "-m", "workers.rq_worker"]
    with process(command, environ, tmp_path / "log"):
        eventually(lambda: operator.look(settings, job_id).ended, 40)
        watched = fleet("rebuild", "--from-reports")
    state = operator.look(settings, job_id)
    assert state.status == "finished", (state, (tmp_path / "log").read_text())
    assert state.result["outcome"] == "done"
    assert list(state.result["differing"]) == ["3"]
    assert watched.exit_code == 0, watched.output
    told = json.loads(watched.output.split("done: ")[1])
    assert (told["accounts"], told["changed"]) == (4, 3)
    assert content(world) == expected
    resumed = fleet("rebuild", "--resume", job_id, "--no-watch")
    assert "operator job" in resumed.output
    assert fleet("rebuild", "--resume", "nothing").exit_code == 1
    assert fleet("rebuild", "--resume", job_id, "--account", "3").exit_code == 2


@pytest.mark.usefixtures("fresh_rq")
def test_laravel_starts_it_and_is_answered_with_the_jobs_id(
    world: World, settings_for: Callable[..., Settings]
) -> None:
    fill_books(world)
    settings = settings_for("laravel")
    with closing(connect(settings.mysql)) as connection:
        context = Context(settings, lambda: connection, "uuid-1", "RebuildPnl", 1, "node")
        rebuild_pnl.run(context, rebuild_pnl.Model.model_validate({"accountId": 3, "from": None}))
        connection.commit()
    answer = orjson.loads(world.one("SELECT answer FROM fleet_requests"))
    assert answer["state"] == "queued"
    state = operator.look(settings_for("cli"), answer["job"])
    assert (state.name, state.status, state.actor) == ("rebuild", "queued", "laravel")
