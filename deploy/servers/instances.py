"""One instance per checkout and flavour: its folder in the root, ports, secrets, env files."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
from dataclasses import dataclass, field
from pathlib import Path

from flavours import Flavour
from machine import ServersError

CHECKOUT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
EXCHANGE = "exchange"
"""The local exchange's port: kept for it, whether it runs or not."""
# Below the ephemeral range, clear of the well-known server ports.
FIRST_PORT, LAST_PORT = 21100, 21999
SERVER_NAMES = ("redis", "mysql", "timescale")
SECRET_NAMES = ("redis", "mysql", "mysql_root", "timescale", "timescale_root")
SECRET_BYTES = 16


@dataclass
class Instance:
    flavour: Flavour
    root: Path
    ports: dict[str, int] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return instance_name(self.flavour.name)

    @property
    def inside(self) -> str:
        """The instance's folder as seen from within the root."""
        return f"/srv/tradefleet/{self.name}"

    @property
    def folder(self) -> Path:
        return Path(str(self.root) + self.inside)

    def server_inside(self, server: str) -> str:
        return f"{self.inside}/{server}"

    def server_folder(self, server: str) -> Path:
        return self.folder / server

    def log(self, server: str) -> Path:
        return self.folder / "log" / f"{server}.log"

    @property
    def wrapper(self) -> Path:
        return self.folder / "php"

    def owner(self, user: str) -> tuple[int, int]:
        """Numeric ids of a user of the root; the host knows other users by these numbers."""
        for line in (self.root / "etc/passwd").read_text().splitlines():
            words = line.split(":")
            if words[0] == user:
                return int(words[2]), int(words[3])
        raise ServersError(f"{self.root} has no user {user}; delete it and start again")

    def write(self, path: Path, text: str, user: str) -> None:
        """A file that only its user reads: most hold a password."""
        write_private(path, text)
        os.chown(path, *self.owner(user))

    def make_folder(self, path: Path, user: str) -> None:
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, *self.owner(user))

    def save(self) -> None:
        state = {"ports": self.ports, "secrets": self.secrets, "checkout": str(CHECKOUT)}
        write_private(self.folder / "instance.json", json.dumps(state, indent=2) + "\n")


def instance_name(flavour_name: str) -> str:
    digest = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:10]
    return f"{digest}-{flavour_name}"


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
    aside.replace(path)


def open_instance(flavour: Flavour, root: Path) -> Instance:
    """The remembered instance, or a new one with ports and passwords of its own."""
    instance = Instance(flavour, root)
    for folder in (instance.folder, instance.folder / "log"):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
    remembered = instance.folder / "instance.json"
    if remembered.exists():
        state = json.loads(remembered.read_text())
        instance.ports, instance.secrets = state["ports"], state["secrets"]
        _add_ports(instance)
        return instance
    instance.secrets = {name: secrets.token_hex(SECRET_BYTES) for name in SECRET_NAMES}
    instance.secrets["app_key"] = base64.b64encode(secrets.token_bytes(32)).decode()
    _add_ports(instance)
    return instance


def _add_ports(instance: Instance) -> None:
    """What has none yet: everything, at first; later what a newer version brings."""
    missing = [name for name in (*SERVER_NAMES, EXCHANGE) if name not in instance.ports]
    for name in missing:
        instance.ports[name] = free_port(instance.name, instance.ports)
    instance.save()


def free_port(name: str, taken: dict[str, int]) -> int:
    """The first free one, from a place that differs from instance to instance."""
    count = LAST_PORT - FIRST_PORT + 1
    offset = int(hashlib.sha256(name.encode()).hexdigest(), 16) % count
    for step in range(count):
        port = FIRST_PORT + (offset + step) % count
        if port not in taken.values() and is_free(port):
            return port
    raise ServersError(f"no free port between {FIRST_PORT} and {LAST_PORT}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: the remains of closed connections do not make a port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def application_settings(ports: dict[str, int], known: dict[str, str]) -> dict[str, str]:
    """What Laravel and the fleet read, in Laravel's own names."""
    return {
        "APP_NAME": "Trade Desk",
        "APP_ENV": "local",
        "APP_KEY": f"base64:{known['app_key']}",
        "DB_CONNECTION": "mysql",
        "DB_HOST": HOST,
        "DB_PORT": str(ports["mysql"]),
        "DB_DATABASE": "tradedesk",
        "DB_USERNAME": "fleet",
        "DB_PASSWORD": known["mysql"],
        "REDIS_HOST": HOST,
        "REDIS_PORT": str(ports["redis"]),
        "REDIS_PASSWORD": known["redis"],
        "REDIS_CLIENT": "phpredis",
        "REDIS_DB": "0",
        "REDIS_CACHE_DB": "1",
        # Written out, so that neither side has to guess it: Laravel 13 would take hyphens.
        "REDIS_PREFIX": "trade_desk_database_",
        "CACHE_DRIVER": "redis",
        "QUEUE_CONNECTION": "redis",
        "FLEET_DB_DATABASE": "fleet",
        "FLEET_TIMESCALE_URL": (
            f"postgresql://fleet:{known['timescale']}@{HOST}:{ports['timescale']}/fleet"
        ),
        # Always, also while it does not run: nothing of a desk may reach a real exchange.
        "FLEET_EXCHANGE_URL": f"http://{HOST}:{ports[EXCHANGE]}",
    }


def desk_settings(instance: Instance) -> dict[str, str]:
    """What only the desk and the tests need."""
    return {
        "SERVERS_FLAVOUR": instance.flavour.name,
        "SERVERS_INSTANCE": str(instance.folder),
        "SERVERS_ROOT": str(instance.root),
        "SERVERS_DB_ROOT_PASSWORD": instance.secrets["mysql_root"],
        "SERVERS_TIMESCALE_ROOT_PASSWORD": instance.secrets["timescale_root"],
        "SERVERS_PHP": str(instance.wrapper),
        "SERVERS_PHP_APP": instance.server_inside("app"),
    }


def env_text(settings: dict[str, str]) -> str:
    """Lines that a shell and a dotenv reader understand alike."""
    return "".join(f"{name}={_quoted(value)}\n" for name, value in settings.items())


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[\w./:@=+,-]*", value) else f'"{value}"'


def write_env_files(flavour_name: str, settings: dict[str, str], *, as_current: bool) -> None:
    """`.servers.env` is the flavour that was started last; each also keeps a file of its own."""
    write_private(CHECKOUT / f".servers.{flavour_name}.env", env_text(settings))
    if as_current:
        write_private(CHECKOUT / ".servers.env", env_text(settings))


def read_env_file(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    return {name: value.strip('"') for name, value in pairs}


def delete_instance(instance: Instance) -> None:
    if instance.folder.exists():
        shutil.rmtree(instance.folder)
    flavour_file = CHECKOUT / f".servers.{instance.flavour.name}.env"
    flavour_file.unlink(missing_ok=True)
    current = CHECKOUT / ".servers.env"
    if read_env_file(current).get("SERVERS_FLAVOUR") == instance.flavour.name:
        current.unlink(missing_ok=True)
