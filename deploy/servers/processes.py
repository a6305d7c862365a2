"""Processes inside a root: run, spawn, find, stop. Found by where they run, not by pid files."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from machine import ServersError

RUN_SECONDS = 180
STOP_SECONDS = 60
KILL_SECONDS = 15
POLL_SECONDS = 0.05
PROC = Path("/proc")
BIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLEAN_ENVIRONMENT = {"PATH": BIN_PATH, "LANG": "C.UTF-8", "HOME": "/nonexistent"}


def chroot_command(root: Path, user: str, folder: str, command: list[str]) -> list[str]:
    """The folder stands on the command line, so the process is known as ours from its start."""
    chroot = ["chroot", f"--userspec={user}:{user}", str(root)]
    return [*chroot, "env", f"--chdir={folder}", *command]


def run_inside(
    root: Path,
    user: str,
    folder: str,
    command: list[str],
    *,
    text: str = "",
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        chroot_command(root, user, folder, command),
        input=text,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
        cwd="/",
        env={**CLEAN_ENVIRONMENT, **(environment or {})},
    )


def must_run_inside(
    root: Path,
    user: str,
    folder: str,
    command: list[str],
    *,
    text: str = "",
    environment: dict[str, str] | None = None,
) -> str:
    finished = run_inside(root, user, folder, command, text=text, environment=environment)
    if finished.returncode:
        last = (finished.stderr or finished.stdout).strip()[-800:]
        raise ServersError(f"{command[0]} failed (exit {finished.returncode}): {last}")
    return finished.stdout


def spawn_inside(
    root: Path, user: str, folder: str, command: list[str], log: Path
) -> subprocess.Popen[bytes]:
    """A server that outlives us: own session, nothing inherited but its log."""
    with log.open("ab") as output:
        return subprocess.Popen(
            chroot_command(root, user, folder, command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=CLEAN_ENVIRONMENT,
            start_new_session=True,
        )


def find(root: Path, folder: str) -> list[int]:
    """Pids that run in this root and in (or were told of) this folder of it.

    Pid files go stale after SIGKILL or a reboot and may name a stranger; where a process has
    its root and its working directory cannot.
    """
    inside = str(root) + folder
    return sorted(
        pid
        for pid in (int(path.name) for path in PROC.iterdir() if path.name.isdigit())
        if _runs_in(pid, str(root), inside, folder)
    )


def _runs_in(pid: int, root: str, inside: str, folder: str) -> bool:
    try:
        if _stat(pid)[0] == "Z":
            return False
        words = (PROC / str(pid) / "cmdline").read_bytes()
        if str((PROC / str(pid) / "root").readlink()) != root:
            # Between fork and chroot(2) it is still `chroot … ROOT … FOLDER …` outside.
            return (
                words.startswith(b"chroot\0") and root.encode() in words and _names(words, folder)
            )
        folder_now = str((PROC / str(pid) / "cwd").readlink())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return (folder_now + "/").startswith(inside + "/") or _names(words, folder)


def _stat(pid: int) -> list[str]:
    """State, parent and so on: what follows the name, which may itself hold spaces."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _names(words: bytes, folder: str) -> bool:
    """Whether a command line names this folder or something in it, but not `folder2`."""
    return re.search(re.escape(folder.encode()) + rb"(?![\w-])", words) is not None


def leader(pids: list[int]) -> int | None:
    """The server itself: the one whose parent is not among them."""
    for pid in pids:
        try:
            parent = int(_stat(pid)[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent not in pids:
            return pid
    return None


def stop(
    root: Path, folder: str, first: signal.Signals = signal.SIGTERM, *, leader_only: bool = True
) -> int:
    """Ask the leader to end, wait; what is still there then is killed. Returns how many ran."""
    pids = find(root, folder)
    if not pids:
        return 0
    head = leader(pids)
    # postgres must not have its children asked directly: the postmaster would call it a crash.
    asked = [head] if head and leader_only and first == signal.SIGTERM else pids
    _send(asked, first)
    if not wait_until(lambda: _all_gone(pids, root, folder), STOP_SECONDS):
        _send(find(root, folder), signal.SIGKILL)
    if not wait_until(lambda: _all_gone(pids, root, folder), KILL_SECONDS):
        raise ServersError(f"processes {find(root, folder)} in {folder} survive SIGKILL")
    return len(pids)


def _all_gone(pids: list[int], root: Path, folder: str) -> bool:
    """Nothing runs, and nothing of what ran is still ending.

    A killed server is a zombie at once, but its other threads keep port and file locks until the
    last of them has ended; as a zombie it no longer shows where it ran.
    """
    return not find(root, folder) and not any(_has_threads(pid) for pid in pids)


def _has_threads(pid: int) -> bool:
    try:
        threads = len(list((PROC / str(pid) / "task").iterdir()))
        return threads > 1 or _stat(pid)[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(POLL_SECONDS)
    return True
