"""Each safety rule is taken out, here in the test alone, and a scripted schedule must go wrong.

Without that the schedules would prove nothing. No setting can take a rule out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from shared.endpoints import MySQLSettings
from shared.mysql import book, offsets, outbox
from shared.mysql.offsets import Claim, Offsets
from tests.chaos import scenarios
from tests.chaos.scenarios import Counted
from tests.runtime_world import CONSUMER, World
from workers import holdings
from workers.holdings import Holdings
from workers.lane import Lane
from workers.outbox_relay import Relay

pytestmark = pytest.mark.database

Patch = pytest.MonkeyPatch
Scenario = Callable[[Counted], list[str]]


@pytest.fixture
def counted(
    world: World, mysql_root: MySQLSettings, fleet_schema: str, monkeypatch: Patch
) -> Iterator[Counted]:
    made = Counted(world, mysql_root.model_copy(update={"database": fleet_schema}))
    yield made
    monkeypatch.undo()
    made.remove()


# -- rules taken out -------------------------------------------------------------------------------


def without_compare_and_set(patch: Patch) -> None:
    _advance_without(patch, "epoch", "last_id")


def blind_retry(patch: Patch) -> None:
    """After a lost COMMIT the batch goes again without a look at the offset row."""
    patch.setattr(Lane, "_unsettled", lambda _, work: [one for one in work if one.active])


def blind_retry_without_last_id(patch: Patch) -> None:
    blind_retry(patch)
    _advance_without(patch, "last_id")


def offset_before_effect(patch: Patch) -> None:
    advance = Offsets.advance

    def early(self: Offsets, claims: Sequence[Claim]) -> None:
        advance(self, claims)
        self._cursor.execute("COMMIT")

    patch.setattr(Offsets, "advance", early)


def offset_after_effect(patch: Patch) -> None:
    advance, commit = Offsets.advance, Lane._commit

    def late(self: Lane, work: Sequence[Any]) -> None:
        claims = [piece.claim() for piece in work]
        commit(self, work)
        advance(Offsets(self._links.mysql(), CONSUMER), claims)
        self._links.commit()

    patch.setattr(Offsets, "advance", lambda *_: None)
    patch.setattr(Lane, "_commit", late)


def sleeping_session_stays(patch: Patch) -> None:
    patch.setattr(Offsets, "end_session", lambda *_: None)


def session_after_reconnect_untold(patch: Patch) -> None:
    patch.setattr(Holdings, "_adopt_sessions", lambda *_: None)


def entry_at_offset_unchecked(patch: Patch) -> None:
    patch.setattr(holdings, "what_is_lost", lambda *_: None)


def relay_without_generation(patch: Patch) -> None:
    patch.setattr(outbox, "resend_all", lambda _: 0)


def relay_without_sweep(patch: Patch) -> None:
    patch.setattr(Relay, "_sweep", lambda _: None)


def account_unlocked(patch: Patch) -> None:
    unlocked = book.SQL["lock_accounts"].replace("FOR UPDATE", "")
    patch.setattr(book, "SQL", {**book.SQL, "lock_accounts": unlocked})


def _advance_without(patch: Patch, *columns: str) -> None:
    sql = offsets.SQL["advance"]
    for column in columns:
        condition = f"AND {column} = %s"
        assert condition in sql
        sql = sql.replace(condition, "AND %s IS NOT NULL")  # the parameter still wants a place
    patch.setattr(offsets, "SQL", {**offsets.SQL, "advance": sql})


class Rule(NamedTuple):
    """A schedule, and the removal that it must notice."""

    scenario: Scenario
    removed: Callable[[Patch], None]


RULES = [
    Rule(scenarios.overtaken_owner, without_compare_and_set),
    Rule(scenarios.crash, offset_before_effect),
    Rule(scenarios.crash, offset_after_effect),
    Rule(scenarios.lost_commit, blind_retry),
    Rule(scenarios.lost_commit, blind_retry_without_last_id),
    Rule(scenarios.sleeping_owner, sleeping_session_stays),
    Rule(scenarios.sleeping_owner, session_after_reconnect_untold),
    Rule(scenarios.older_stream, entry_at_offset_unchecked),
    Rule(scenarios.emptied_redis, relay_without_generation),
    Rule(scenarios.dead_relay, relay_without_sweep),
    Rule(scenarios.two_writers, account_unlocked),
]
SCENARIOS = list(dict.fromkeys(rule.scenario for rule in RULES))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_with_every_rule_in_force_the_schedule_ends_exact(
    counted: Counted, scenario: Scenario
) -> None:
    assert scenario(counted) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda one: one.removed.__name__)
def test_without_the_rule_the_schedule_goes_wrong(
    counted: Counted, monkeypatch: Patch, rule: Rule
) -> None:
    rule.removed(monkeypatch)
    assert rule.scenario(counted)
