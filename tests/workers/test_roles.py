from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from shared import settings
from shared.errors import SettingsError
from tests.workers.fleet_env import ROOT, basics
from workers.config import QUEUES, SOFT_SHUTDOWN_SECONDS
from workers.flower import set_password
from workers.roles import ROLES, current, procfile, unneeded


def test_the_procfile_is_the_table_written_out() -> None:
    assert (ROOT / "Procfile").read_text(encoding="utf-8") == procfile()


def test_settings_know_every_role() -> None:
    assert set(ROLES) <= set(settings.ROLES)


@pytest.mark.parametrize("name", [name for name, role in ROLES.items() if role.pool])
def test_workers_consume_declared_queues_under_stable_names(name: str) -> None:
    command = ROLES[name].command
    queues = re.search(r"-Q (\S+)", command)
    assert queues is not None
    assert set(queues[1].split(",")) <= set(QUEUES)
    assert f"-n {name}-${{FLEET_SLOT:-1}}@%h" in command
    assert " -E " in command
    assert f"-P {ROLES[name].pool} " in command


@pytest.mark.parametrize("name", sorted(ROLES))
def test_a_stop_is_given_longer_than_the_role_may_need(name: str) -> None:
    if ROLES[name].pool == "prefork":
        assert ROLES[name].drain_seconds > 2 * SOFT_SHUTDOWN_SECONDS
    assert ROLES[name].drain_seconds >= 10


@pytest.mark.parametrize(
    ("environ", "argv", "role"),
    [
        ({"FLEET_ROLE": "jobs"}, ["celery", "-A", "workers.app", "worker"], "jobs"),
        ({}, ["celery", "-A", "workers.app", "flower"], "flower"),
        ({}, ["celery", "-A", "workers.app", "beat"], "beat"),
        ({}, ["celery", "-A", "workers.app", "inspect", "ping"], "cli"),
    ],
)
def test_the_role_comes_from_the_environment_or_the_command(
    environ: dict[str, str], argv: list[str], role: str
) -> None:
    assert current(environ, argv) == role


@pytest.mark.parametrize("text", ["", "fleet", "fleet:", ":x", "fleet:a,b", "fleet:a b"])
def test_flower_without_a_proper_password_does_not_start(text: str) -> None:
    """Without one its pages are open; a comma would make two half passwords of it."""
    with pytest.raises(SettingsError, match="FLEET_FLOWER_AUTH"):
        set_password({"FLEET_FLOWER_AUTH": text})


def test_flower_reads_its_password_from_the_environment() -> None:
    environ = {"FLEET_FLOWER_AUTH": "fleet:p:with-colon"}
    set_password(environ)
    assert environ["FLOWER_BASIC_AUTH"] == "fleet:p:with-colon"


def test_a_fleet_without_timescale_runs_no_role_that_needs_it(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("APP_NAME=desk\n", encoding="utf-8")
    environ = {"FLEET_ENV_FILE": str(env_file)}
    assert unneeded(environ) == {"timescale"}
    url = "postgresql://u:p@h/d"
    assert unneeded(environ | {"FLEET_TIMESCALE_URL": url}) == set()
    env_file.write_text(f"FLEET_TIMESCALE_URL={url}\n", encoding="utf-8")
    assert unneeded(environ) == set()


@pytest.mark.parametrize("role", ["relay", "streams"])
def test_a_wrong_setting_ends_a_role_with_one_line_that_says_what_to_write(
    role: str, tmp_path: Path
) -> None:
    (tmp_path / "env").write_text("APP_NAME=desk\nREDIS_PREFIX=desk_\n")
    words = ROLES[role].command.replace("${FLEET_SLOT:-1}", "1").split()
    ended = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env={**basics(), "FLEET_ROLE": role, "FLEET_ENV_FILE": str(tmp_path / "env")},
    )  # fmt: skip
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"fleet {role}: DB_DATABASE is not set")
    assert "write the line DB_DATABASE=" in line
