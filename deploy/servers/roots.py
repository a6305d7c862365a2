"""One cached root per recipe, made by mmdebstrap: locked, built aside, renamed when whole."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flavours import Contents, Part
from machine import (
    ServersError,
    install_prerequisites,
    keyring,
    mirror,
    proxy_environment,
    require_root_and_debian,
    say,
)

BUILD_SECONDS = 1800
LOCK_SECONDS = 1900
END_SECONDS = 5
PROBE_SECONDS = 10
LOCK_POLL_SECONDS = 0.5
SPARE_MB = 1024

# Raise when the recipe changes in a way that its own text does not show.
RECIPE_VERSION = "1"
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}


def cache_folder() -> Path:
    chosen = os.environ.get("FLEET_CACHE")
    if chosen:
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "tradefleet"


def recipe(contents: Contents) -> list[str]:
    """The arguments of mmdebstrap but for target and mirror; its hash names the root."""
    arguments = ["--variant=minbase", "--mode=root", "--format=directory"]
    arguments += [f"--aptopt={option}" for option in contents.apt_options]
    arguments += [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    arguments += ["--dpkgopt=force-confold", *contents.hooks]
    return [*arguments, f"--include={','.join(contents.packages)}"]


def root_path(contents: Contents) -> Path:
    text = "\0".join([RECIPE_VERSION, contents.suite, os.uname().machine, *recipe(contents)])
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    # The true path, because that is how /proc shows the root of a process.
    return (cache_folder() / "roots").resolve() / f"{contents.name}-{digest}"


def ensure_root(contents: Contents) -> Path:
    """The root, built first if it is not there."""
    root = root_path(contents)
    if not root.exists():
        require_root_and_debian()
        with locked(root.with_name(f"{root.name}.lock"), f"the {contents.name} root"):
            if not root.exists():
                _build(contents, root)
    _ensure_devices(root)
    return root


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """An exclusive lock that dies with its holder; a second caller waits for the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    limit = time.monotonic() + LOCK_SECONDS
    told = False
    with path.open("a") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    say(f"another process works on {what}; waiting for it")
                told = True
                if time.monotonic() > limit:
                    raise ServersError(f"another process holds {path} too long") from None
                time.sleep(LOCK_POLL_SECONDS)
        yield


def _build(contents: Contents, root: Path) -> None:
    install_prerequisites()
    for stale in root.parent.glob(f"{root.name}.building-*"):
        delete_tree(stale)
    source = mirror()
    _announce(contents, root, source)
    building = root.with_name(f"{root.name}.building-{os.getpid()}")
    began = time.monotonic()
    try:
        _mmdebstrap(contents, building, source)
        _check_versions(contents, building, source)
        building.rename(root)
    finally:
        delete_tree(building)
    say(f"{contents.name} root ready after {time.monotonic() - began:.0f} s")


def _announce(contents: Contents, root: Path, source: str) -> None:
    titles = ", ".join(f"{part.title} >= {_dotted(part.least)}" for part in contents.parts)
    say(f"building a Debian {contents.suite} root with {titles}")
    say(
        f"about {contents.download_mb} MB to download from {source}, {contents.disk_mb} MB of disk "
        f"in {root}, about {contents.minutes} minutes, once; this machine's own packages stay"
    )
    root.parent.mkdir(parents=True, exist_ok=True)
    free_mb = shutil.disk_usage(root.parent).free // 2**20
    if free_mb < contents.disk_mb + SPARE_MB:
        raise ServersError(
            f"{root.parent} has {free_mb} MB free and {contents.disk_mb + SPARE_MB} MB are needed; "
            "make room or point FLEET_CACHE elsewhere"
        )


def _mmdebstrap(contents: Contents, target: Path, source: str) -> None:
    keys = keyring()
    signed = f"[signed-by={keys}] " if keys else ""
    line = f"deb {signed}{source} {contents.suite} main"
    # The directory's own mode stays 0755, whatever umask make was called with.
    command = [*_namespace(), "mmdebstrap", *recipe(contents), contents.suite, str(target), line]
    environment = {**proxy_environment(), **os.environ, "LC_ALL": "C.UTF-8"}
    output: list[str] = []
    building = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
        umask=0o022,
    )
    # A silent mirror must not hold us for ever: the alarm ends the read loop below.
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(BUILD_SECONDS)
    try:
        assert building.stdout is not None
        for text in building.stdout:
            output.append(text)
            sys.stderr.write(text if text.startswith(("I: ", "E: ")) else "")
            sys.stderr.flush()
        building.wait()
    finally:
        signal.alarm(0)
        _end(building)
    if building.returncode:
        raise ServersError(_reason(contents, "".join(output), source))


def _too_long(_number: int, _frame: object) -> None:
    raise ServersError(f"the root was not built within {BUILD_SECONDS} s; is the mirror reachable?")


def _namespace() -> list[str]:
    """Own mount and process namespaces, where allowed: they vanish with the builder.

    And the builder with us, even when we are killed without a chance to tidy up.
    """
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--mount-proc"]
    command += ["--fork", "--kill-child"]
    try:
        probe = subprocess.run(
            [*command, "true"], capture_output=True, timeout=PROBE_SECONDS, check=False
        )
    except FileNotFoundError:
        return []
    return command if probe.returncode == 0 else []


def _end(building: subprocess.Popen[str]) -> None:
    """Nothing of the build goes on: asked first, then killed, its whole session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if building.poll() is not None:
            return
        os.killpg(building.pid, number)
        try:
            building.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def _reason(contents: Contents, output: str, source: str) -> str:
    for part in contents.parts:
        name = re.escape(part.package)
        if re.search(rf"(locate package {name}\s|'?{name}'? has no installation cand)", output):
            return f"{part.title} cannot be had: {source} {contents.suite} has no {part.package}"
        if re.search(rf"^\s*{name} : Depends: ", output, re.MULTILINE):
            return f"{part.title} cannot be had: {part.package} of {contents.suite} is broken now"
    if re.search("Could not (connect|resolve)|Temporary failure resolving", output):
        return f"the mirror {source} cannot be reached; name another with FLEET_MIRROR=URL"
    if "NO_PUBKEY" in output:
        return "the mirror's signature is unknown here: apt-get install debian-archive-keyring"
    tail = [line for line in output.splitlines() if line.strip()][-12:]
    return f"mmdebstrap could not build {contents.suite} from {source}:\n" + "\n".join(tail)


def _check_versions(contents: Contents, root: Path, source: str) -> None:
    for part in contents.parts:
        version = installed_version(root, part)
        if _numbers(version) < part.least:
            found = version or "none"
            raise ServersError(
                f"{part.title} >= {_dotted(part.least)} cannot be had: "
                f"{source} {contents.suite} has {found}"
            )


def installed_version(root: Path, part: Part) -> str:
    """As dpkg in the root says, without epoch and Debian revision."""
    status = (root / "var/lib/dpkg/status").read_text()
    match = re.search(
        rf"^Package: {re.escape(part.version_of)}\n(?:.+\n)*?Version: (?:\d+:)?([0-9.]+)",
        status,
        re.MULTILINE,
    )
    return match[1] if match else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".") if number)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)


def _ensure_devices(root: Path) -> None:
    """Device nodes, which mmdebstrap leaves behind only where mknod was allowed."""
    (root / "dev").mkdir(exist_ok=True)
    for name, (major, minor) in DEVICES.items():
        node = root / "dev" / name
        if not node.is_char_device():
            node.unlink(missing_ok=True)
            os.mknod(node, 0o020666, os.makedev(major, minor))
            node.chmod(0o666)


def delete_tree(folder: Path) -> None:
    """Remove a tree, but never through a mount: what is mounted below is detached first."""
    if not folder.exists():
        return
    for point in reversed(mounted_below(folder)):
        subprocess.run(["umount", "--lazy", point], check=False, timeout=PROBE_SECONDS)
    if mounted_below(folder):
        raise ServersError(f"{folder} still has mounts below it; not deleting it")
    shutil.rmtree(folder)


def mounted_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    points = [line.split()[1].replace("\\040", " ") for line in lines]
    return [point for point in points if (point + "/").startswith(str(folder) + "/")]
