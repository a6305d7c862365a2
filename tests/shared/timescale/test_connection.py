from __future__ import annotations

import psycopg
import pytest
from pydantic import SecretStr

from shared.errors import SettingsError, Unavailable
from shared.settings import Settings
from shared.timescale.connection import classify, connect


def test_a_connection_says_itself_what_it_relies_on(settings: Settings) -> None:
    with connect(settings) as connection, connection.cursor() as cursor:
        for name, value in (
            ("timezone", "UTC"),
            ("transaction_isolation", "read committed"),
            ("statement_timeout", "30s"),
            ("lock_timeout", "5s"),
            ("application_name", "fleet-streams"),
        ):
            cursor.execute("SELECT current_setting(%s)", (name,))
            assert cursor.fetchone() == (value,)
        assert not connection.autocommit


def test_a_missing_url_says_what_to_write(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="FLEET_TIMESCALE_URL"):
        connect(settings.model_copy(update={"timescale_url": None}))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@127.0.0.1:1/x",
        "postgresql://u:hunter2@no.invalid:5432/x",
        "postgresql://u:hunter2@h:port/x",
        "postgresql://u:hunter2@h/x?no_such=1",
    ],
)
def test_what_keeps_us_out_does_not_show_the_password(settings: Settings, url: str) -> None:
    changed = settings.model_copy(update={"timescale_url": SecretStr(url)})
    with pytest.raises((Unavailable, SettingsError)) as caught:
        connect(changed)
    assert "hunter2" not in str(caught.value)


def test_a_lost_session_is_unavailable(settings: Settings) -> None:
    with connect(settings) as victim, connect(settings) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (victim.info.backend_pid,))
        with pytest.raises(psycopg.Error) as caught:
            victim.execute("SELECT 1")
        assert classify(caught.value) is not None


@pytest.mark.parametrize(
    ("sql", "known"),
    [
        ("SELECT * FROM no_such_table", True),
        ("SELECT 1 / 0", False),
        ("SELECT 'x'::int", False),
        ("SET LOCAL statement_timeout = 10; SELECT pg_sleep(5)", True),
    ],
)
def test_classify(settings: Settings, sql: str, *, known: bool) -> None:
    with connect(settings) as connection:
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(sql)
        connection.rollback()
    assert (classify(caught.value) is not None) == known
