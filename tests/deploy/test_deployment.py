"""What supervisors and images are given: from the table of roles, whole, and as they can use it."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from deploy.written import hosts, kubernetes
from deploy.written.__main__ import files
from deploy.written.sizes import SIZES, secrets_of
from deploy.written.yaml import document
from shared.metrics import FLEET
from shared.settings import DECRYPTS, SECRETS, WITHOUT_MYSQL
from tests.workers.fleet_env import ROOT, basics
from workers.alerts import ALERTS
from workers.drain import DRAINABLE
from workers.roles import ROLES, procfile_command
from workers.start import words_of

CONTAINERFILE = ROOT / "deploy" / "container" / "Containerfile"


@pytest.mark.parametrize("path", sorted(files()), ids=lambda one: one.name)
def test_files_are_the_table_written_out(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == files()[path], "run `python -m deploy.written`"


def test_nothing_written_is_left_of_roles_that_are_gone() -> None:
    folders = (ROOT / "deploy" / name for name in ("systemd", "supervisor", "kubernetes"))
    there = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    assert there <= files().keys()


# --- the entry point -----------------------------------------------------------------------------


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_starts_as_its_line_of_the_procfile(role: str) -> None:
    """A shell reads that line; here there is none."""
    line = procfile_command(role)
    program = next(word for word in line.split() if "=" not in word)
    show = """/bin/sh -c 'env -0; printf "=%s\\0" "$@"' sh"""
    shell = line.replace(f" {program} ", f" {show} ", 1)
    environ = {**basics(), "FLEET_SLOT": "3"}
    said = subprocess.run(["/bin/sh", "-c", f"exec env {shell}"], env=environ, check=True,
                          capture_output=True, text=True).stdout.split("\0")  # fmt: skip
    ours, found = words_of(role, environ)
    assert found == [program, *(one[1:] for one in said if one.startswith("="))]
    by_shell = dict(one.split("=", 1) for one in said if one and one[0] != "=")
    assert {k: v for k, v in by_shell.items() if k in ours} == ours


@pytest.mark.parametrize("words", [["--help"], []])
def test_any_other_word_is_a_command_of_fleet(words: list[str], tmp_path: Path) -> None:
    """In an environment without our PATH, as a supervisor gives it."""
    command = [sys.executable, "-m", "workers.start", *words]
    environ = {"PATH": "/nowhere", "HOME": str(tmp_path)}
    said = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, check=False)
    assert b"Usage:" in said.stdout + said.stderr


# --- hosts ---------------------------------------------------------------------------------------


def test_systemd_takes_every_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify`, where there is one, over units whose program exists."""
    for name, text in hosts.units().items():
        here = text.replace(hosts.RELEASE + "/.venv/bin/python", sys.executable)
        (tmp_path / name).write_text(here, encoding="utf-8")
    analyze = shutil.which("systemd-analyze")
    names = [f"tradefleet-{role}@1.service" for role in ROLES]
    for role in ROLES:
        (tmp_path / f"tradefleet-{role}@1.service").symlink_to(f"tradefleet-{role}@.service")
    if analyze is not None:
        paths = [str(tmp_path / name) for name in [*names, "tradefleet.target"]]
        said = subprocess.run([analyze, "verify", "--man=no", *paths], env=basics(),
                              capture_output=True, text=True, check=False)  # fmt: skip
        ours = [line for line in said.stderr.splitlines() if "tradefleet" in line]
        assert ours == [], said.stderr
    for text in hosts.units().values():
        assert all(re.fullmatch(r"|#.*|\[\w+\]|[A-Z]\w+=.*", line) for line in text.splitlines())


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_host_gives_each_role_its_drain_time_and_tells_it_alone(role: str) -> None:
    unit = hosts.units()[f"tradefleet-{role}@.service"]
    assert f"TimeoutStopSec={ROLES[role].drain_seconds}\n" in unit
    assert "KillMode=mixed\n" in unit
    program = _supervisor()[f"program:tradefleet-{role}"]
    assert int(program["stopwaitsecs"]) == ROLES[role].drain_seconds
    assert (program["stopsignal"], program["stopasgroup"]) == ("TERM", "false")
    assert program["killasgroup"] == "true"


def test_supervisor_starts_each_role_once_with_its_slot() -> None:
    found = _supervisor()
    runbooks = (ROOT / "deploy" / "runbooks" / "README.md").read_text(encoding="utf-8")
    assert "tradefleet-ROLE:*" in runbooks  # a group: its own name alone is `no such process`
    assert "tradefleet-ROLE:tradefleet-ROLE-1" in runbooks
    assert set(found.sections()) == {f"program:tradefleet-{role}" for role in ROLES}
    for section in found.sections():
        # As supervisor expands them.
        values = {k: v % {"program_name": "tradefleet", "process_num": 1}
                  for k, v in found[section].items()}  # fmt: skip
        assert 'FLEET_SLOT="1"' in values["environment"]
        assert values["process_name"] == "tradefleet-1"
        assert values["command"].endswith(section.removeprefix("program:tradefleet-"))


def _supervisor() -> configparser.RawConfigParser:
    found = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
    found.read_string(hosts.programs())
    return found


# --- the image -----------------------------------------------------------------------------------


def test_everything_that_the_image_copies_is_there_and_let_in() -> None:
    text = CONTAINERFILE.read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--from)(\S+) \S+$", text, re.MULTILINE)
    assert copied
    ignore = CONTAINERFILE.with_name("Containerfile.containerignore").read_text(encoding="utf-8")
    assert ignore == CONTAINERFILE.with_name("Containerfile.dockerignore").read_text()
    lines = [line for line in ignore.splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"  # what is not named stays out, .env first of all
    assert {line[1:] for line in lines if line[0] == "!"} == set(copied)
    for name in copied:
        assert (ROOT / name).exists(), name


def test_the_image_runs_as_nobody_with_checked_libraries() -> None:
    text = CONTAINERFILE.read_text(encoding="utf-8")
    bases = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))
    assert bases == {"python:3.11-slim-trixie"}  # the version that the lock is made for
    assert "--require-hashes" in text
    assert f"USER {kubernetes.USER}:{kubernetes.USER}\n" in text
    assert "HEALTHCHECK" in text
    assert 'ENTRYPOINT ["python", "-m", "workers.start"]' in text
    assert not re.search(r"ADD |:latest|curl|http://(?!127)", text)


def test_what_runs_reads_no_file_that_the_image_lacks() -> None:
    """Paths below deploy/ that modules name; tools that write the checkout are no matter."""
    writes = {"alert_rules.py", "dictionary.py"}
    named = {
        found
        for folder in ("workers", "shared")
        for path in (ROOT / folder).rglob("*.py")
        if path.name not in writes
        for found in re.findall(r'"deploy" / "(\w+)"', path.read_text(encoding="utf-8"))
    }
    copied = CONTAINERFILE.read_text(encoding="utf-8")
    assert {name for name in named if f"COPY deploy/{name} " not in copied} == set()
    assert named


# --- Kubernetes ----------------------------------------------------------------------------------


def _manifests(kind: str) -> Iterator[Mapping[str, Any]]:
    for parts in kubernetes.manifests().values():
        for rows in parts.values():
            yield from (one for one in rows if one["kind"] == kind)


def test_every_role_is_deployed_with_its_drain_time() -> None:
    assert SIZES.keys() == ROLES.keys()
    found = {one["spec"]["template"]["spec"]["containers"][0]["args"][0]: one
             for one in _manifests("Deployment")}  # fmt: skip
    assert found.keys() == ROLES.keys()
    for role, one in found.items():
        pod = one["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] == ROLES[role].drain_seconds
        assert one["spec"]["replicas"] == SIZES[role].nodes
        assert one["spec"]["selector"]["matchLabels"].items() <= (
            one["spec"]["template"]["metadata"]["labels"].items()
        )


def test_no_pod_may_more_than_it_must_or_holds_a_secret_it_needs_not() -> None:
    for one in [*_manifests("Deployment"), *_manifests("Job")]:
        pod = one["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        role = container["args"][0]
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        (secret,) = [one["secret"] for one in pod["volumes"] if "secret" in one]
        names = {item["key"] for item in secret["items"]}
        assert names <= set(SECRETS)
        assert ("APP_KEY" in names) == (role in DECRYPTS)
        assert ("DB_PASSWORD" in names) == (role not in WITHOUT_MYSQL)
        environ = {one["name"]: one.get("value") for one in container["env"]}
        assert {name for name in environ if name.endswith("_FILE")} == {
            f"{name}_FILE" for name in names
        }


def test_the_number_of_nodes_follows_figures_that_the_fleet_tells() -> None:
    for one in _manifests("ScaledObject"):
        spec = one["spec"]
        assert 0 < spec["minReplicaCount"] < spec["maxReplicaCount"]
        assert spec["fallback"]["replicas"] >= spec["minReplicaCount"]
        (trigger,) = spec["triggers"]
        query = trigger["metadata"]["query"]
        (metric,) = re.findall(r"fleet_\w+", query)
        asked = {*re.findall(r"(\w+)=", query), *re.findall(r"by \((.+?)\)", query)[0].split(", ")}
        assert asked <= set(FLEET[metric].labels)
        assert spec["scaleTargetRef"]["name"] in {
            one["metadata"]["name"] for one in _manifests("Deployment")
        }


def test_where_two_are_wanted_one_may_be_taken_away() -> None:
    guarded = {one["metadata"]["labels"]["app.kubernetes.io/component"]
               for one in _manifests("PodDisruptionBudget")}  # fmt: skip
    assert guarded == {role for role, size in SIZES.items() if size.nodes > 1}


def test_timescale_and_the_application_key_are_for_those_who_use_them() -> None:
    assert "APP_KEY" not in secrets_of("streams")
    assert "FLEET_TIMESCALE_URL" in secrets_of("timescale")
    assert secrets_of("beat") == ["REDIS_PASSWORD"]


# --- compose, words ------------------------------------------------------------------------------


def test_compose_runs_every_role_after_the_migration() -> None:
    text = files()[ROOT / "deploy" / "compose.production.yaml"]
    for role, row in ROLES.items():
        block = text.split(f"\n  {role}:\n")[1].split("\n  ", 1)[1]
        service = re.split(r"\n(?:  \w|secrets:)", block)[0]
        assert f'stop_grace_period: "{row.drain_seconds}s"' in service
        assert 'condition: "service_completed_successfully"' in service
        assert "read_only: true" in service


def test_yaml_is_what_it_was_written_from() -> None:
    value = {"a": [{"b": 1, "c": ["x", {"d": True}]}, "no"], "e": {}, "f": {"g": [[1], []]}}
    assert document(value) == (
        'a:\n  - b: 1\n    c:\n      - "x"\n      - d: true\n  - "no"\ne: {}\n'
        "f:\n  g:\n    - - 1\n    - []\n"
    )


def test_the_page_on_deployment_names_what_there_is() -> None:
    text = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (ROOT / "deploy" / name).exists(), name
    for role in re.findall(r"fleet (?:un)?drain (\w+)", text):
        assert role in {"ROLE", *DRAINABLE}
    assert set(re.findall(r"Fleet[A-Z]\w+", text)) <= set(ALERTS)
