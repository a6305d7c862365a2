"""Processes as `workers.up` sees them: who is it, is it alive, end it and all it started."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """started: the kernel's start time, because a pid alone may belong to somebody else by now."""

    pid: int
    started: str


class RoleFile(NamedTuple):
    """What the keeper writes about a role. exits: how often it ended without being asked."""

    process: Process | None
    exits: int
    last_exit: int | None


def identify(pid: int) -> Process | None:
    """None if there is no such process, or only its exit status is left (a zombie)."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self").exists():  # not Linux: the pid must do
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        return Process(pid, "")
    try:
        # The name in parentheses may hold blanks; what follows the last one does not.
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else Process(pid, fields[19])


def is_alive(process: Process | None) -> bool:
    return process is not None and identify(process.pid) == process


def group_members(group: int) -> list[int]:
    """Live processes of a process group (Linux; elsewhere the leader only)."""
    if not Path("/proc/self").exists():
        return [group] if identify(group) else []
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and identify(int(entry.name)) is not None:
            try:
                if os.getpgid(int(entry.name)) == group:
                    members.append(int(entry.name))
            except ProcessLookupError:
                continue
    return members


def signal_one(process: Process, number: signal.Signals) -> None:
    if is_alive(process):
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return


def kill_group(group: int) -> None:
    """SIGKILL for whatever a stopped role left behind."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def wait_until(found: Callable[[], bool], seconds: float, step: float = 0.05) -> bool:
    """Whether `found()` came true in time."""
    deadline = time.monotonic() + seconds
    while not found():
        if time.monotonic() >= deadline:
            return False
        time.sleep(step)
    return True


def write_role(path: Path, role: RoleFile) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(role), encoding="ascii")
    temporary.replace(path)


def read_role(path: Path) -> RoleFile:
    try:
        process, exits, last_exit = json.loads(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return RoleFile(None, 0, None)
    return RoleFile(Process(*process) if process else None, exits, last_exit)
