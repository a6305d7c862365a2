"""What this machine is and what it lacks: root, Debian, apt packages, the mirror it uses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

APT_SECONDS = 900
KEYRINGS = Path("/usr/share/keyrings")
APT_LISTS = Path("/var/lib/apt/lists")
SUITE_ALIASES = {"stable", "oldstable", "testing", "unstable", "sid"}


class ServersError(Exception):
    """Something the user has to know, in one sentence."""


def say(text: str) -> None:
    print(f"servers: {text}", file=sys.stderr, flush=True)


def require_root_and_debian() -> None:
    """One sentence for a machine on which none of this can work."""
    if os.geteuid() == 0 and shutil.which("apt-get") and shutil.which("chroot"):
        return
    reason = "not root" if os.geteuid() else "not a Debian-like system (no apt-get or chroot)"
    raise ServersError(
        f"the private servers need root on a Debian-like machine, and this is {reason}; "
        "use such a machine, or SERVERS=docker with a Docker engine"
    )


def missing_packages() -> list[str]:
    """Packages of the host that set-up needs and that are not there, by what they provide."""
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    mysql_config = any(shutil.which(name) for name in ("mysql_config", "mariadb_config"))
    present = {
        "mmdebstrap": shutil.which("mmdebstrap") is not None,
        "default-libmysqlclient-dev": mysql_config,
        "pkg-config": shutil.which("pkg-config") is not None,
        "gcc": shutil.which("gcc") is not None,
        "libc6-dev": Path("/usr/include/stdio.h").exists(),
        "python3-dev": headers.exists(),
        "python3-venv": _has_ensurepip(),
        "debian-archive-keyring": any(KEYRINGS.glob("debian-archive-trixie-automatic.*")),
    }
    return [package for package, there in present.items() if not there]


def _has_ensurepip() -> bool:
    return (Path(sysconfig.get_paths()["stdlib"]) / "ensurepip").is_dir()


def install_prerequisites() -> None:
    """Install what is missing; the package index is refreshed only when it is absent or stale."""
    missing = missing_packages()
    if not missing:
        return
    require_root_and_debian()
    say(f"installing on this machine with apt-get: {' '.join(missing)} (under a minute)")
    install = ["apt-get", "install", "-y", "-qq", "-o", "Dpkg::Use-Pty=0"]
    install += ["--no-install-recommends", *missing]
    index_present = any(APT_LISTS.glob("*_Packages*"))
    if index_present and _apt(install) == 0:
        return
    _apt(["apt-get", "update", "-qq"])
    if _apt(install) != 0 or missing_packages():
        raise ServersError(
            f"apt-get could not install {' '.join(missing_packages() or missing)}; "
            "without these packages the servers cannot be set up"
        )


def _apt(command: list[str]) -> int:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # apt's own chatter belongs on stderr: stdout is for answers such as `servers.py path`.
    finished = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        timeout=APT_SECONDS,
        check=False,
    )
    return finished.returncode


def keyring() -> Path | None:
    """Debian's own keys; the file's ending has changed from .gpg to .pgp over the releases."""
    return next(iter(sorted(KEYRINGS.glob("debian-archive-keyring.*"))), None)


def mirror() -> str:
    """FLEET_MIRROR, or the archive from which this machine itself installs Debian."""
    chosen = os.environ.get("FLEET_MIRROR")
    if chosen:
        return chosen
    codename = os_release().get("VERSION_CODENAME", "")
    found = [
        uri
        for uri, suites, components in apt_sources()
        if "main" in components and suites & (SUITE_ALIASES | {codename})
    ]
    # Third parties may use the same suite name; Debian's own archive ends in /debian.
    found.sort(key=lambda uri: not uri.rstrip("/").endswith("/debian"))
    if not found or os_release().get("ID") != "debian":
        raise ServersError(
            "no Debian mirror in this machine's apt sources; name one with FLEET_MIRROR=URL"
        )
    return _resolve_mirror_list(found[0])


def _resolve_mirror_list(uri: str) -> str:
    """Cloud images name a file that lists the mirrors."""
    if not uri.startswith("mirror+file:"):
        return uri
    listed = Path("/" + uri.removeprefix("mirror+file:").lstrip("/"))
    for line in listed.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            return line.split()[0]
    raise ServersError(f"{listed} names no mirror; name one with FLEET_MIRROR=URL")


def apt_sources() -> list[tuple[str, set[str], set[str]]]:
    """(URI, suites, components) of every binary source, from both of apt's file formats."""
    folder = Path("/etc/apt/sources.list.d")
    one_line = [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list"))]
    found = [source for path in one_line if path.exists() for source in one_line_sources(path)]
    for path in sorted(folder.glob("*.sources")):
        found.extend(deb822_sources(path))
    return found


def one_line_sources(path: Path) -> list[tuple[str, set[str], set[str]]]:
    found = []
    for line in path.read_text().splitlines():
        match = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)", line.strip())
        if match:
            found.append((match[1], {match[2]}, set(match[3].split("#")[0].split())))
    return found


def deb822_sources(path: Path) -> list[tuple[str, set[str], set[str]]]:
    found: list[tuple[str, set[str], set[str]]] = []
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        fields = dict(re.findall(r"^([A-Za-z-]+):\s*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE))
        if "deb" not in fields.get("Types", "").split() or fields.get("Enabled") == "no":
            continue
        suites, components = fields.get("Suites", ""), fields.get("Components", "")
        uris = fields.get("URIs", "").split()
        found.extend((uri, set(suites.split()), set(components.split())) for uri in uris)
    return found


def os_release() -> dict[str, str]:
    path = Path("/etc/os-release")
    if not path.exists():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    return {name: value.strip().strip('"') for name, value in pairs}


def proxy_environment() -> dict[str, str]:
    """The proxy of apt as environment variables, since mmdebstrap does not read apt's own files."""
    finished = subprocess.run(
        ["apt-config", "shell", "http", "Acquire::http::Proxy", "https", "Acquire::https::Proxy"],
        capture_output=True,
        text=True,
        timeout=APT_SECONDS,
        check=False,
    )
    found = re.findall(r"^(https?)='([^']+)'", finished.stdout, re.MULTILINE)
    return {f"{scheme}_proxy": url for scheme, url in found if url != "DIRECT"}
