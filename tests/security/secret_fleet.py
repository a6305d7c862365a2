"""A fleet of its own whose every secret is a canary, and what may be done to it."""

from __future__ import annotations

import base64
import shlex
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from shared.laravel.encrypter import Encrypter
from tests import timescale_world
from tests.chaos.exchange import Member
from tests.chaos.own_fleet import LARAVEL_SCHEMA, NOTES, PREFIX, OwnFleet
from tests.desk import ROOT
from tests.laravel_queues import QueueView
from tests.laravel_world import object_payload
from tests.own_mysql import PASSWORD as ROOT_PASSWORD
from tests.security.canaries import Canary, canary
from tests.workers.fleet_env import free_port
from workers.grants import PASSWORD, grants
from workers.processes import group_members

AUDIT_SCHEMA = "app_audit"
BROKER_DATABASE = 2
SECRETS = (
    "app_key", "previous_key", "mysql", "redis", "credentials_key", "exchange", "hash_key",
    "sentry", "flower", "argument", "sealed_argument", "event", "named", "token_column",
    "hashed_column", "mistyped", "control",
)  # fmt: skip
NO_CLASS = "App\\Jobs\\Fleet\\Nobody"
OPENS_ACCOUNTS = frozenset({"sync", "userstreams"})
HASHES = frozenset({"collector", "cli", "rq"})


class SecretFleet(OwnFleet):
    """sentry_port: set before anything is loaded or started."""

    sentry_port = 9

    @cached_property
    def canaries(self) -> dict[str, Canary]:
        """control: no secret at all; what is not masked for certain."""
        found = {name: canary(name) for name in SECRETS}
        # Made once for all tests of a session, and as good as any.
        return {**found, "timescale": Canary("timescale", timescale_world.PASSWORD)}

    @cached_property
    def flower_port(self) -> int:
        return free_port()

    @property
    def password(self) -> str:  # type: ignore[override]
        return self.canaries["mysql"].password

    @property
    def members(self) -> tuple[Member, ...]:  # type: ignore[override]
        mark = self.canaries["exchange"].token
        return tuple(Member(n, venue, "linear", mark) for n, venue in ((1, "binance"), (2, "okx")))

    def environ(self, role: str) -> dict[str, str]:
        found, where = self.canaries, self.mysql.where
        user, password = f"own_{role}", self.password
        if role == "migrate":
            user, password = "root", ROOT_PASSWORD
        redis = quote(found["redis"].password, safe="")
        at = f"{self.redis.where.host}:{self.redis.where.port}"
        return {
            **super().environ(role),
            "APP_KEY": found["app_key"].key,
            "APP_PREVIOUS_KEYS": found["previous_key"].key,
            "REDIS_USERNAME": f"own_{role}",
            "REDIS_PASSWORD": found["redis"].password,
            "FLEET_BROKER_URL": f"redis://own_{role}:{redis}@{at}/{BROKER_DATABASE}",
            "FLEET_STREAMS_REDIS_URL": f"redis://own_{role}:{redis}@{at}/0",
            "FLEET_AUDIT_URL": f"mysql://{user}:{quote(password, safe='')}@{where.host}:"
            f"{where.port}/{AUDIT_SCHEMA}",
            "FLEET_CDC_TABLES": f"default,+{NOTES},+exchange_accounts",
            "FLEET_CDC_COLUMNS": f"{NOTES}.author=hash",
            "SENTRY_LARAVEL_DSN": f"http://{found['sentry'].token}@127.0.0.1:{self.sentry_port}/1",
            **({"FLEET_CDC_HASH_KEY": found["hash_key"].token} if role in HASHES else {}),
            **({"FLEET_CREDENTIALS_KEY": found["credentials_key"].key}
               if role in OPENS_ACCOUNTS else {}),
            **({"FLEET_FLOWER_AUTH": f"fleet:{found['flower'].token}",
                "FLOWER_PORT": str(self.flower_port)} if role == "flower" else {}),
        }  # fmt: skip

    def prepare(self) -> None:
        self.mysql.run(f"CREATE DATABASE {AUDIT_SCHEMA} CHARACTER SET utf8mb4")
        super().prepare()
        self.mysql.run(
            f"ALTER TABLE {NOTES} ADD COLUMN api_token VARCHAR(200) NULL", database=LARAVEL_SCHEMA
        )
        self._redis_users(self.canaries["redis"].password)

    def _redis_users(self, password: str) -> None:
        """With exactly the rights that `fleet doctor --grants` prints."""
        with closing(self.client()) as client:
            command: Any = client.execute_command
            for row in grants(self.settings("migrate"), lambda role: f"own_{role}"):
                for _, line in row.redis:
                    words = [word.replace(PASSWORD, password) for word in shlex.split(line)]
                    command(*words)

    # -- Flower has no port file -------------------------------------------------------------------

    def port(self, role: str) -> int | None:
        return self.flower_port if role == "flower" else super().port(role)

    def is_ready(self, role: str) -> bool:
        if role != "flower":
            return super().is_ready(role)
        return self.ask("flower", "/healthcheck") is not None

    def flower(self, path: str, *, login: bool = True) -> tuple[int, bytes]:
        """Status and body."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.flower_port}{path}")
        if login:
            word = base64.b64encode(f"fleet:{self.canaries['flower'].token}".encode()).decode()
            request.add_header("Authorization", f"Basic {word}")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - loopback
                return int(answer.status), bytes(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def pids(self) -> dict[str, list[int]]:
        """Of each role, its children as well."""
        held = {role: self._roles[role].pid for role in self.running}
        return {role: group_members(pid) for role, pid in held.items() if pid is not None}

    # -- traffic and errors ------------------------------------------------------------------------

    def secret_note(self) -> None:
        """A row of Laravel's, with a column that is dropped and one that is hashed."""
        with closing(self.mysql.connection(LARAVEL_SCHEMA)) as connection:
            connection.cursor().execute(
                f"INSERT INTO {NOTES} (text, author, api_token) VALUES ('plain', %s, %s)",  # noqa: S608 - our own name
                (self.canaries["hashed_column"].token, self.canaries["token_column"].token),
            )
            connection.commit()

    def poison(self) -> None:
        """Events that are refused; some where a field's name says that it is a secret."""
        text, secret = self.canaries["event"].token, self.canaries["named"].token
        self.trade(43, qty=text)
        self.trade(43, executed_at_ms=text, api_secret=secret)
        self.trade(43, side={"password": secret})
        self.record("order.filled.1", 43, f'{{"password": "{secret}"')

    def failing_jobs(self) -> None:
        """Laravel's: of no known class, one sealed; and what nobody can read."""
        with closing(self.client()) as redis:
            queue = QueueView(redis, PREFIX)
            text = self.canaries["argument"].token
            queue.push(object_payload(NO_CLASS, _serialized(text), uuid="open"))
            known = "App\\Jobs\\Fleet\\SyncAccount"
            queue.push(object_payload(known, _serialized(text, known), uuid="known"))
            sealed = Encrypter(self.settings("laravel").app_key).encrypt(  # type: ignore[arg-type]
                _serialized(self.canaries["sealed_argument"].token).encode()
            )
            queue.push(object_payload(NO_CLASS, sealed, uuid="sealed"))
            queue.push(f'{{"uuid": "broken", "password": "{text}"')

    def refuse_key(self) -> None:
        one = self.members[0]
        self.exchange.do("change_account", venue=one.venue, api_key=one.api_key, revoked=True)

    def failing_handler(self) -> None:
        """From now on, by a trigger that somebody put on a table of ours."""
        self.mysql.run(
            "CREATE TRIGGER somebodys BEFORE INSERT ON fleet_signals FOR EACH ROW"
            " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused by a trigger'"
        )

    @contextmanager
    def other_passwords(self) -> Iterator[None]:
        """The servers know other ones than the fleet, and every connection is cut."""
        self._set_passwords("another-one", "another-one")
        try:
            yield
        finally:
            self._set_passwords(self.password, self.canaries["redis"].password)

    def _set_passwords(self, mysql: str, redis: str) -> None:
        users = self.mysql.run("SELECT user, host FROM mysql.user WHERE user LIKE 'own\\_%'")
        self.mysql.run(*(f"ALTER USER '{user}'@'{host}' IDENTIFIED BY '{mysql}'"
                         for user, host in map(_texts, users)))  # fmt: skip
        names = [f"own_{role}" for role in (*self.running, "cli")]
        with closing(self.client()) as client:
            command: Any = client.execute_command
            for name in names:
                command("ACL", "SETUSER", name, "resetpass", f">{redis}")
                command("CLIENT", "KILL", "USER", name)
        for number, user in self.mysql.run("SELECT id, user FROM information_schema.processlist"):
            if str(user).startswith("own_"):
                with suppress(Exception):  # it has just gone
                    self.mysql.run(f"KILL {int(number)}")

    def misspelt(self) -> subprocess.Popen[bytes]:
        """A role whose broker's address is no URL; what it says is a log like the others."""
        broken = f"redis://own:{self.canaries['mistyped'].token}@127.0.0.1:port/2"
        with (self.folder / "misspelt.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "workers.relay"], cwd=ROOT, stdin=subprocess.DEVNULL,
                env={**self.environ("relay"), "FLEET_BROKER_URL": broken}, stdout=log, stderr=log,
            )  # fmt: skip

    def every_command(self) -> subprocess.Popen[str]:
        """Each in turn, in a process of its own, by somebody whose name and passwords are wrong."""
        wrong = quote(self.canaries["mistyped"].password, safe="")
        at = f"{self.mysql.where.host}:{self.mysql.where.port}"
        redis = f"redis://own_cli:{wrong}@{self.redis.where.host}:{self.redis.where.port}"
        return subprocess.Popen(
            [sys.executable, "-m", "tests.security.every_command"], cwd=ROOT, text=True,
            env={
                **self.environ("cli"),
                "CONTROL": self.canaries["control"].token,
                "DB_USERNAME": "own_mistyped",
                "DB_PASSWORD": self.canaries["mistyped"].password,
                "REDIS_PASSWORD": self.canaries["mistyped"].password,
                "FLEET_BROKER_URL": f"{redis}/{BROKER_DATABASE}",
                "FLEET_STREAMS_REDIS_URL": f"{redis}/0",
                "FLEET_AUDIT_URL": f"mysql://own_cli:{wrong}@{at}/{AUDIT_SCHEMA}",
                "FLEET_TIMESCALE_URL": f"postgresql://own_cli:{wrong}@127.0.0.1:{self._port}/x",
            },
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def logs(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.glob("*.log")}


def _serialized(text: str, name: str = NO_CLASS) -> str:
    return (f'O:{len(name)}:"{name}":2:{{s:9:"accountId";s:{len(text)}:"{text}";'
            f's:8:"password";s:{len(text)}:"{text}";}}')  # fmt: skip


def _texts(row: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(one.decode() if isinstance(one, bytes) else str(one) for one in row)


class CommandLines:
    """Every command line that any process of this machine has while it is watched."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="command-lines", daemon=True)

    def look(self) -> None:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(FileNotFoundError, ProcessLookupError):
                    self.seen.add((entry / "cmdline").read_bytes())

    def _run(self) -> None:
        while not self._ending.wait(0.1):
            self.look()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
