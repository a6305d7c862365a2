"""A connection is kept while it is good, and no longer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial

import pytest

from shared.endpoints import MySQLSettings
from shared.errors import Unavailable
from shared.mysql.connection import connect
from shared.settings import Settings
from workers.sync import connections
from workers.sync.connections import Connections

pytestmark = pytest.mark.database


@pytest.fixture
def kept(settings_for: Callable[..., Settings]) -> Connections:
    return Connections(partial(connect, settings_for("sync").mysql))


def used(kept: Connections) -> int:
    with kept() as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT CONNECTION_ID()")
        return int(cursor.fetchone()[0])


def test_the_next_batch_of_a_thread_finds_it_open(kept: Connections) -> None:
    assert used(kept) == used(kept)
    kept.close()


def test_one_that_the_server_closed_fails_once_as_a_server_that_is_away(
    kept: Connections, mysql_root: MySQLSettings
) -> None:
    first = used(kept)
    with closing(connect(mysql_root)) as root:
        root.cursor().execute(f"KILL {first}")
    with pytest.raises(Unavailable):
        used(kept)
    assert used(kept) != first
    kept.close()


def test_one_whose_work_failed_is_not_used_again(kept: Connections) -> None:
    first = used(kept)
    with pytest.raises(ZeroDivisionError), kept():
        raise ZeroDivisionError
    assert used(kept) != first
    kept.close()


def test_one_that_was_idle_for_long_is_opened_anew(
    kept: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = used(kept)
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.0)
    assert used(kept) != first
    kept.close()
