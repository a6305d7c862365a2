"""SERVERS=docker: the servers of deploy/compose.yaml, with the same settings file as the others."""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import shlex
import shutil
import subprocess
from pathlib import Path

from flavours import DOCKER
from instances import (
    CHECKOUT,
    EXCHANGE,
    SECRET_BYTES,
    SERVER_NAMES,
    application_settings,
    free_port,
    instance_name,
    read_env_file,
    write_env_files,
)
from machine import ServersError, say
from roots import cache_folder

COMPOSE_FILE = CHECKOUT / "deploy" / "compose.yaml"
ENV_FILE = CHECKOUT / f".servers.{DOCKER}.env"
COMPOSE_SECONDS = 1800
PROBE_SECONDS = 30
APP_FOLDER = "/app"


def run(options: argparse.Namespace) -> int:
    require_docker()
    if options.command == "start":
        return _start(options.names)
    if not ENV_FILE.exists():
        raise ServersError(f"no docker servers have been started from {CHECKOUT} yet")
    if options.command == "stop":
        return _compose("stop", *options.names) if options.names else _compose("down")
    if options.command == "status":
        return _compose("ps")
    if options.command == "wipe":
        return _wipe()
    if options.command == "restart":
        return _restart(options.name, kill=options.kill)
    if options.command == "php":
        wrapper = str(_wrapper())
        os.execv(wrapper, [wrapper, *options.arguments])  # noqa: S606 - no shell is wanted
    raise ServersError(
        f"`{options.command}` has no meaning with SERVERS=docker: data are in volumes"
    )


def require_docker() -> None:
    """An engine that answers and its compose plugin, or one sentence."""
    for probe in (["docker", "compose", "version"], ["docker", "info"]):
        try:
            answer = subprocess.run(probe, capture_output=True, timeout=PROBE_SECONDS, check=False)
        except FileNotFoundError:
            raise ServersError("SERVERS=docker needs Docker, and there is no docker here") from None
        if answer.returncode:
            raise ServersError(f"SERVERS=docker needs Docker, and `{' '.join(probe)}` fails here")


def _start(names: list[str]) -> int:
    say("starting containers; the first time about 1.5 GB of images are downloaded (minutes)")
    settings = read_env_file(ENV_FILE) or _new_settings()
    write_env_files(DOCKER, settings, as_current=True)
    _write_wrapper()
    ran_before = _runs()
    try:
        code = _compose("up", "--detach", "--wait", "--build", *names)
        if code == 0 and not names:
            code = _compose("exec", "-T", "php", "php", "artisan", "migrate", "--force")
    except KeyboardInterrupt:
        # A half-started set is worse than none; what ran before stays.
        if not ran_before:
            _compose("down")
        raise
    return code


def _runs() -> bool:
    asked = [*_command(), "ps", "--quiet"]
    answer = subprocess.run(asked, capture_output=True, timeout=PROBE_SECONDS, check=False)
    return bool(answer.stdout.strip())


def _restart(name: str, *, kill: bool) -> int:
    ended = _compose("kill", "--signal", "SIGKILL", name) if kill else _compose("stop", name)
    return ended or _compose("up", "--detach", "--wait", name)


def _wipe() -> int:
    code = _compose("down", "--volumes")
    ENV_FILE.unlink(missing_ok=True)
    current = CHECKOUT / ".servers.env"
    if read_env_file(current).get("SERVERS_FLAVOUR") == DOCKER:
        current.unlink(missing_ok=True)
    shutil.rmtree(_wrapper().parent, ignore_errors=True)
    return code


def _new_settings() -> dict[str, str]:
    name = instance_name(DOCKER)
    ports: dict[str, int] = {}
    for server in (*SERVER_NAMES, EXCHANGE):
        ports[server] = free_port(name, ports)
    known = {name: secrets.token_hex(SECRET_BYTES) for name in ("redis", "mysql", "timescale")}
    known["app_key"] = base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        **application_settings(ports, known),
        "SERVERS_FLAVOUR": DOCKER,
        "SERVERS_INSTANCE": name,
        "SERVERS_DB_ROOT_PASSWORD": secrets.token_hex(SECRET_BYTES),
        "SERVERS_TIMESCALE_PORT": str(ports["timescale"]),
        "SERVERS_TIMESCALE_PASSWORD": known["timescale"],
        "SERVERS_TIMESCALE_ROOT_PASSWORD": secrets.token_hex(SECRET_BYTES),
        "SERVERS_PHP": str(_wrapper()),
        "SERVERS_PHP_APP": APP_FOLDER,
    }


def _command() -> list[str]:
    project = f"tradefleet-{instance_name(DOCKER)}"
    files = ["--env-file", str(ENV_FILE), "--file", str(COMPOSE_FILE)]
    return ["docker", "compose", "--project-name", project, *files]


def _compose(*arguments: str) -> int:
    finished = subprocess.run(
        [*_command(), *arguments], stdin=subprocess.DEVNULL, timeout=COMPOSE_SECONDS, check=False
    )
    return finished.returncode


def _wrapper() -> Path:
    return cache_folder() / DOCKER / instance_name(DOCKER) / "php"


def _write_wrapper() -> None:
    """As in a root: `<wrapper> artisan …`, with standard input passed on."""
    wrapper = _wrapper()
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    command = shlex.join([*_command(), "exec", "-T", "php", "php"])
    wrapper.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    wrapper.chmod(0o755)
