"""Start, stop, restart, wipe: the three servers of one instance, run by chroot."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import laravel_app
import mysql_server
import redis_server
import timescale_server
from flavours import Flavour
from instances import (
    CHECKOUT,
    Instance,
    application_settings,
    delete_instance,
    desk_settings,
    free_port,
    instance_name,
    is_free,
    open_instance,
    read_env_file,
    write_env_files,
)
from machine import ServersError, install_prerequisites, require_root_and_debian, say
from processes import POLL_SECONDS, find, leader, spawn_inside, stop, wait_until
from roots import cache_folder, ensure_root, installed_version, locked, root_path

READY_SECONDS = 90
HEALTHY_SECONDS = 5
PORT_SECONDS = 3
LOG_TAIL_LINES = 15


@dataclass(frozen=True)
class Server:
    name: str
    user: str
    prepare: Callable[[Instance], None]
    configure: Callable[[Instance], None]
    command: Callable[[Instance], list[str]]
    ready: Callable[[Instance], bool]
    complete: Callable[[Instance], None]


SERVERS = {
    module.NAME: Server(
        module.NAME,
        module.USER,
        module.prepare,
        module.configure,
        module.command,
        module.ready,
        module.complete,
    )
    for module in (redis_server, mysql_server, timescale_server)
}


@contextmanager
def held(flavour: Flavour) -> Iterator[None]:
    """One command at a time works on an instance."""
    name = instance_name(flavour.name)
    with locked(cache_folder() / "instances" / f"{name}.lock", f"the servers {name}"):
        yield


def start(flavour: Flavour, names: list[str]) -> None:
    require_root_and_debian()
    install_prerequisites()
    with held(flavour):
        root = ensure_root(flavour)
        _leave_former_root(flavour, root)
        _bring_up(open_instance(flavour, root), names)


def _bring_up(instance: Instance, names: list[str]) -> None:
    starting: list[Server] = []
    try:
        for name in names or list(SERVERS):
            _start_one(instance, SERVERS[name], starting)
        for server in starting:
            _finish_one(instance, server)
        if not names:
            laravel_app.install(instance)
            laravel_app.migrate(instance)
        _write_settings(instance, as_current=not names)
    except BaseException:
        # Also Ctrl-C: a half-started set is worse than none. What ran before stays.
        for server in starting:
            stop(instance.root, instance.server_inside(server.name), signal.SIGKILL)
        raise
    if names:
        say(f"{instance.flavour.name}: {', '.join(names)} ready")
    else:
        _report(instance)


def _start_one(instance: Instance, server: Server, starting: list[Server]) -> None:
    inside = instance.server_inside(server.name)
    if find(instance.root, inside):
        if wait_until(lambda: server.ready(instance), HEALTHY_SECONDS):
            return
        say(f"{server.name} runs but does not answer; starting it anew")
        stop(instance.root, inside)
    starting.append(server)
    fresh = not _is_complete(instance, server)
    if fresh:
        # Never completed: a start was broken off, and half a data folder is no data folder.
        shutil.rmtree(instance.server_folder(server.name), ignore_errors=True)
        say(f"preparing {server.name}")
        server.prepare(instance)
    port = instance.ports[server.name]
    if not wait_until(lambda: is_free(port), PORT_SECONDS):
        instance.ports[server.name] = free_port(instance.name, instance.ports)
        instance.save()
    server.configure(instance)
    spawn_inside(
        instance.root,
        server.user,
        inside,
        server.command(instance),
        instance.log(server.name),
    )


def _write_settings(instance: Instance, *, as_current: bool) -> None:
    settings = application_settings(instance.ports, instance.secrets) | desk_settings(instance)
    current = read_env_file(CHECKOUT / ".servers.env").get("SERVERS_FLAVOUR")
    # One server restarted (a chaos test) does not make its flavour the desk's current one.
    as_current = as_current or current == instance.flavour.name
    write_env_files(instance.flavour.name, settings, as_current=as_current)


def _is_complete(instance: Instance, server: Server) -> bool:
    return (instance.server_folder(server.name) / "completed").exists()


def _finish_one(instance: Instance, server: Server) -> None:
    inside = instance.server_inside(server.name)
    limit = time.monotonic() + READY_SECONDS
    while not server.ready(instance):
        gone = not find(instance.root, inside)
        if gone or time.monotonic() > limit:
            how = "ended at once" if gone else f"did not answer within {READY_SECONDS} s"
            raise ServersError(f"{server.name} {how}; its log ends:\n{_log_tail(instance, server)}")
        time.sleep(POLL_SECONDS)
    if not _is_complete(instance, server):
        server.complete(instance)
        (instance.server_folder(server.name) / "completed").touch()


def _log_tail(instance: Instance, server: Server) -> str:
    lines = instance.log(server.name).read_text(errors="replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:])


def _current_root(flavour: Flavour) -> Path:
    """Where this checkout's servers are: a newer recipe or cache folder counts from a start on."""
    known = read_env_file(CHECKOUT / f".servers.{flavour.name}.env").get("SERVERS_ROOT")
    return Path(known) if known else root_path(flavour)


def _leave_former_root(flavour: Flavour, root: Path) -> None:
    """A new recipe makes a new root; servers of the old one must not go on beside it."""
    former = _current_root(flavour)
    if former != root:
        say(f"the servers move to {root} and start empty; {former} holds the former ones' data")
        _stop_all(Instance(flavour, former))


def _stop_all(instance: Instance) -> int:
    """The servers one by one, then whatever else runs in the instance, such as queue:work."""
    stopped = sum(
        stop(instance.root, instance.server_inside(name)) > 0 for name in reversed(SERVERS)
    )
    stop(instance.root, instance.inside, leader_only=False)
    return stopped


def stop_servers(flavour: Flavour, names: list[str]) -> None:
    require_root_and_debian()
    with held(flavour):
        instance = Instance(flavour, _current_root(flavour))
        if names:
            count = sum(stop(instance.root, instance.server_inside(name)) > 0 for name in names)
        else:
            count = _stop_all(instance)
    say(f"{count} server(s) stopped; their data stay" if count else "no server was running")


def restart(flavour: Flavour, name: str, *, kill: bool) -> None:
    """The same data, the same port; with `kill` the server gets no chance to tidy up."""
    require_root_and_debian()
    with held(flavour):
        instance = require_instance(flavour)
        number = signal.SIGKILL if kill else signal.SIGTERM
        stop(instance.root, instance.server_inside(name), number)
        _bring_up(instance, [name])


def wipe(flavour: Flavour) -> None:
    """Stop and forget: data, ports, passwords. The root stays in the cache."""
    require_root_and_debian()
    with held(flavour):
        instance = Instance(flavour, _current_root(flavour))
        _stop_all(instance)
        delete_instance(instance)
    say(f"the data of {instance_name(flavour.name)} are deleted")


def require_instance(flavour: Flavour) -> Instance:
    instance = Instance(flavour, _current_root(flavour))
    if not (instance.folder / "instance.json").exists():
        raise ServersError(f"no {flavour.name} servers have been started from {CHECKOUT} yet")
    return open_instance(flavour, instance.root)


def status(flavour: Flavour) -> int:
    """One line per server; 0 if all answer."""
    require_root_and_debian()
    instance = require_instance(flavour)
    healthy = True
    for server in SERVERS.values():
        pid = leader(find(instance.root, instance.server_inside(server.name)))
        answers = pid is not None and server.ready(instance)
        healthy = healthy and answers
        state = "ready" if answers else "stopped" if pid is None else "not answering"
        print(f"{server.name:<10} {state:<14} port {instance.ports[server.name]}  pid {pid or '-'}")
    return 0 if healthy else 1


def paths(flavour: Flavour) -> dict[str, str]:
    """Where things are, as the machine outside the root sees them."""
    instance = require_instance(flavour)
    return {
        "root": str(instance.root),
        "instance": str(instance.folder),
        "aof": str(instance.server_folder("redis") / "appendonlydir"),
        "redis": str(instance.server_folder("redis")),
        "binlog": str(instance.server_folder("mysql") / "data"),
        "mysql": str(instance.server_folder("mysql")),
        "timescale": str(instance.server_folder("timescale")),
        "log": str(instance.folder / "log"),
        "app": str(instance.server_folder("app")),
        "php": str(instance.wrapper),
    }


def php(flavour: Flavour, arguments: list[str]) -> None:
    """Become PHP in the root: signals, stdin and the exit code are then its own."""
    require_root_and_debian()
    wrapper = str(require_instance(flavour).wrapper)
    os.execv(wrapper, [wrapper, *arguments])  # noqa: S606 - no shell is wanted


def _report(instance: Instance) -> None:
    versions = {
        part.title: installed_version(instance.root, part) for part in instance.flavour.parts
    }
    say(", ".join(f"{title} {version}" for title, version in versions.items()))
    where = ", ".join(f"{name} {instance.ports[name]}" for name in SERVERS)
    say(f"{instance.flavour.name} ready on 127.0.0.1: {where}; settings in .servers.env")
