"""A whole fleet of its own, to be broken: a MySQL, a Redis, an exchange, a database in the desk's
TimescaleDB behind a gate, and every role as a process with exactly its grants.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson
from pydantic import SecretStr
from redis import Redis

from shared.settings import Settings, load
from tests.chaos.exchange import Exchange, Member, add_accounts, link_accounts, local_exchange
from tests.chaos.gates import Gate, Gates
from tests.chaos.kept import KeptRedis, KeptRole
from tests.conftest import EXCHANGE_ACCOUNTS, LARAVEL_TABLES
from tests.desk import ROOT
from tests.own_mysql import PASSWORD as ROOT_PASSWORD
from tests.own_mysql import OwnMySQL, own_mysql
from tests.timescale_world import Timescale, own_database
from tests.waiting import eventually
from tests.workers.fleet_env import free_port
from workers.grants import PASSWORD, grants
from workers.migrate import migrate_audit, migrate_mysql
from workers.roles import ROLES
from workers.timescale_grants import TABLES as TIMESCALE_ROLES

PREFIX = "own_"
PARTITIONS = 4
BUDGET = "8mb"
NOTES = "notes"
"""A table of Laravel's that is captured beside our own."""
LARAVEL_SCHEMA = "app_laravel"
USER_PASSWORD = uuid.uuid4().hex
MEMBERS = (Member(1, "binance", "linear"), Member(2, "bybit", "linear"))
EVERY_ROLE = tuple(name for name in ROLES if name != "flower")
START_SECONDS = 90.0
LOOK_SECONDS = 0.1
LONG_AGO_MS = 600_000
NAMES = ("APP_", "CACHE_", "DB_", "FLEET_", "QUEUE_", "REDIS_")


def user_of(role: str) -> str:
    return f"own_{role}"


class OwnFleet:
    """See the module. Nothing runs before start()."""

    exchange: Exchange
    password = USER_PASSWORD
    """Of every role, on MySQL."""
    members: Sequence[Member] = MEMBERS

    def __init__(  # noqa: PLR0917 - its servers, then its folder
        self,
        servers: Mapping[str, str],
        mysql: OwnMySQL,
        redis: KeptRedis,
        timescale: Timescale | None,
        gate: Gate | None,
        source_gate: Gate,
        folder: Path,
    ) -> None:
        self.mysql = mysql
        self.redis = redis
        self.timescale = timescale
        self.timescale_gate = gate
        self.source_gate = source_gate
        self.folder = folder
        self.run_dir = folder / "run"
        self.run_dir.mkdir()
        (folder / "env").touch()
        self.servers = servers
        self._port = free_port()
        self._exchange_url = "http://127.0.0.1:9"
        self._roles: dict[str, KeptRole] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._trades = 0

    # -- what it is made of ------------------------------------------------------------------------

    def environ(self, role: str) -> dict[str, str]:
        """All that a process of the role has in its environment."""
        where, root = self.mysql.where, role == "migrate"
        app = {name: text for name, text in self.servers.items() if name.startswith("APP_")}
        return {
            **app,
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "TZ": "UTC",
            "FLEET_ENV_FILE": str(self.folder / "env"),
            "DB_CONNECTION": "mysql",
            "DB_HOST": str(where.host),
            "DB_PORT": str(self.source_gate.port if role == "collector" else where.port),
            "DB_DATABASE": LARAVEL_SCHEMA,
            "DB_USERNAME": "root" if root else user_of(role),
            "DB_PASSWORD": ROOT_PASSWORD if root else self.password,
            "FLEET_DB_DATABASE": where.database,
            "REDIS_HOST": self.redis.where.host,
            "REDIS_PORT": str(self.redis.where.port),
            "REDIS_PREFIX": PREFIX,
            "CACHE_DRIVER": "redis",
            "QUEUE_CONNECTION": "redis",
            "FLEET_PARTITIONS": str(PARTITIONS),
            "FLEET_REDIS_BUDGET": BUDGET,
            "FLEET_CDC_TABLES": f"default,+{NOTES}",
            "FLEET_CDC_SPILL_DIR": str(self.folder),
            **self._timescale_url(role),
            "FLEET_EXCHANGE_URL": self._exchange_url,
            "FLEET_METRICS_PORT": str(self._port),
            "FLEET_RUN_DIR": str(self.run_dir),
            "FLEET_ROLE": role,
            "FLEET_LOG_STYLE": "json",
            "PYTHONUNBUFFERED": "1",
        }

    def write_env_files(self) -> None:
        """ROLE.env, for whoever types commands and starts roles by hand."""
        for role in ("cli", "migrate", *EVERY_ROLE):
            named = {name: text for name, text in self.environ(role).items()
                     if name.startswith(NAMES)}  # fmt: skip
            named.pop("FLEET_ENV_FILE")
            lines = (f"{name}='{text}'\n" for name, text in named.items())
            file = self.folder / f"{role}.env"
            file.touch(0o600)
            file.write_text("".join(lines), encoding="utf-8")

    def settings(self, role: str) -> Settings:
        return load(role, self.environ(role))

    def prepare(self) -> None:
        """Schemas, users, a few accounts."""
        self.mysql.run(
            EXCHANGE_ACCOUNTS, *LARAVEL_TABLES.values(),
            f"CREATE TABLE {NOTES} (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,"
            " text VARCHAR(200) NOT NULL, author VARCHAR(50) NULL)",
            database=LARAVEL_SCHEMA,
        )  # fmt: skip
        settings = self.settings("migrate")
        migrate_mysql(settings)
        migrate_audit(settings)
        if self.timescale is not None:
            owner = SecretStr(self.timescale.owner)
            self.timescale.migrate(settings.model_copy(update={"timescale_url": owner}))
        for row in grants(settings, user_of):
            if row.role not in {"migrate", "application"}:
                lines = row.mysql + row.laravel + row.audit
                self.mysql.run(*(line.replace(PASSWORD, self.password) for line in lines))

    def grant(self, role: str) -> None:
        """Its table grants once more."""
        (row,) = (one for one in grants(self.settings("migrate"), user_of) if one.role == role)
        self.mysql.run(*(line for line in row.mysql if line.startswith("GRANT")))

    def open_exchange(self, exchange: Exchange) -> None:
        """With the accounts of MEMBERS, which Laravel knows as well."""
        self.exchange, self._exchange_url = exchange, exchange.url
        add_accounts(exchange, self.members, int(time.time() * 1000) - LONG_AGO_MS)
        with closing(self.mysql.connection()) as connection:
            link_accounts(connection, self.settings("sync"), self.members)

    def client(self) -> Redis:
        """Of database 0, where Laravel's queues and the streams are."""
        return self.redis.client()

    def _timescale_url(self, role: str) -> dict[str, str]:
        if self.timescale is None or self.timescale_gate is None:
            return {}
        url = urlsplit(self.timescale.url(role if role in TIMESCALE_ROLES else "cli"))
        place = f"{url.netloc.rpartition('@')[0]}@127.0.0.1:{self.timescale_gate.port}"
        return {"FLEET_TIMESCALE_URL": urlunsplit(url._replace(netloc=place))}

    # -- its processes -----------------------------------------------------------------------------

    def start(self, *roles: str) -> None:
        """Returns once all are ready; no roles: every one. They are started again if they end."""
        wanted = [one for one in roles or EVERY_ROLE if one != "timescale" or self.timescale]
        with self._lock:
            for role in wanted:
                if role not in self._roles:
                    log = self.folder / f"{role}.log"
                    self._roles[role] = KeptRole(role, self.environ(role), log)
                self._roles[role].wanted = True
        if not self._thread.is_alive():
            self._thread.start()
        for role in wanted:
            self.until(lambda role=role: self.is_ready(role), START_SECONDS, role)  # type: ignore[misc]

    def until(self, found: Callable[[], object], seconds: float = 30, role: str = "") -> None:
        """AssertionError: it did not come true; with the last words of a role."""
        try:
            eventually(found, seconds)
        except AssertionError as error:
            raise AssertionError(f"{role or 'it'} is not ready: {self.last_words(role)}") from error

    def send(self, role: str, number: signal.Signals) -> None:
        self._roles[role].send(number)

    def kill(self, *roles: str) -> None:
        """SIGKILL; they stay down."""
        with self._lock:
            for role in roles:
                self._roles[role].wanted = False
                self._roles[role].send(signal.SIGKILL)
                self._roles[role].end(5)

    def end(self) -> None:
        """All of it, in good order where that is quick."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        for kept in self._roles.values():
            kept.wanted = False
            kept.send(signal.SIGCONT)
            kept.send(signal.SIGTERM)
        deadline = time.monotonic() + 10
        for kept in self._roles.values():
            kept.end(max(deadline - time.monotonic(), 0))

    @property
    def running(self) -> tuple[str, ...]:
        return tuple(name for name, kept in self._roles.items() if kept.wanted)

    def exits(self, role: str) -> int:
        """How often it ended without being asked."""
        return self._roles[role].exits

    def port(self, role: str) -> int | None:
        """Of its /metrics; None while it does not run."""
        pid = self._roles[role].pid if role in self._roles else None
        file = self.run_dir / f"{role}.{pid}.port"
        return int(file.read_text() or 0) or None if pid and file.exists() else None

    def targets(self) -> dict[str, int]:
        """Role and port of every process that tells metrics now."""
        found = {role: self.port(role) for role in self.running}
        return {role: port for role, port in found.items() if port is not None}

    def is_ready(self, role: str) -> bool:
        return self.ask(role, "/ready") is not None

    def ask(self, role: str, path: str) -> bytes | None:
        """What the process answers; None while it does not."""
        port = self.port(role)
        if port is None:
            return None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            return None

    def last_words(self, role: str) -> str:
        log = self.folder / f"{role}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else ""

    def fleet(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command, as an operator types it. AssertionError: it failed."""
        ran = subprocess.run(
            [sys.executable, "-m", "workers.cli", *words], env=self.environ("cli"), cwd=ROOT,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, f"fleet {' '.join(words)}: {ran.stdout}{ran.stderr}"
        return ran

    def _keep(self) -> None:
        while not self._ending.wait(LOOK_SECONDS):
            with self._lock:
                for kept in self._roles.values():
                    kept.look()

    # -- what happens in it ------------------------------------------------------------------------

    def lag(self) -> int:
        """Rows of the outbox that are not applied yet."""
        sql = "SELECT COUNT(*) FROM fleet_outbox WHERE state < 2"
        return int(self.mysql.run(sql)[0][0])

    def store_keys(self) -> None:
        """Laravel's accounts are written anew, as when users store their keys."""
        self.mysql.run("DELETE FROM exchange_accounts", database=LARAVEL_SCHEMA)
        with closing(self.mysql.connection()) as connection:
            link_accounts(connection, self.settings("sync"), self.members)

    def record(self, type_: str, key: object, *bodies: Any) -> None:
        """Rows of the outbox, in one transaction, as Laravel writes them. bodies: text is taken as
        it is.
        """
        rows = [
            ("signals" if type_.startswith("signal.") else "orders", type_, str(key),
             str(uuid.uuid4()), int(time.time() * 1_000_000),
             body if isinstance(body, str) else orjson.dumps(body).decode())
            for body in bodies
        ]  # fmt: skip
        with closing(self.mysql.connection()) as connection:
            connection.cursor().executemany(
                "INSERT INTO fleet_outbox (stream, type, event_key, event_id, ts_us, data)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                rows,
            )
            connection.commit()

    def trade(self, account: int = 42, count: int = 1, **more: Any) -> None:
        """Fills of an account that no exchange knows, through the outbox."""
        first, self._trades = self._trades + 1, self._trades + count
        at_ms = int(time.time() * 1000)
        self.record("order.filled.1", account, *(
            {"account_id": account, "venue": "desk", "product": "linear", "instrument": "BTCUSDT",
             "position_side": "net", "trade_id": str(number), "order_id": None,
             "side": "buy" if number % 2 else "sell", "qty": "1", "price": "100", "fee": "0.04",
             "fee_asset": "USDT", "settle_asset": "USDT", "executed_at_ms": at_ms, **more}
            for number in range(first, self._trades + 1)
        ))  # fmt: skip

    def note(self, text: str = "a note") -> None:
        """A row of Laravel's that is captured."""
        self.mysql.run(f"INSERT INTO {NOTES} (text) VALUES ('{text}')", database=LARAVEL_SCHEMA)  # noqa: S608

    @contextmanager
    def traffic(self, every_seconds: float = 0.5) -> Iterator[None]:
        """A fill through the outbox, a note of Laravel's and a trade at each exchange, again and
        again. What a broken server refuses is left out.
        """
        ending = threading.Event()

        def run() -> None:
            acts: Sequence[Callable[[], object]] = (self.trade, self.note, self._trade_outside)
            while not ending.wait(every_seconds):
                for act in acts:
                    with suppress(Exception):
                        act()

        thread = threading.Thread(target=run, name="traffic", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join(60)

    def _trade_outside(self) -> None:
        if not hasattr(self, "exchange"):
            return
        side = "buy" if self._trades % 2 else "sell"
        for one in self.members:
            self.exchange.do("trade", venue=one.venue, api_key=one.api_key, product=one.product,
                             symbol="BTCUSDT", side=side, qty="0.01", price="64000")  # fmt: skip


@contextmanager
def own_fleet(
    servers: Mapping[str, str], folder: Path, *, exchange: bool = True, history: bool = True,
    kind: Callable[..., OwnFleet] = OwnFleet,
) -> Iterator[OwnFleet]:
    """Migrated, no role runs; nothing of it is left. exchange: with accounts that trade there.
    history: with a TimescaleDB.
    """
    with ExitStack() as stack:
        mysql = stack.enter_context(own_mysql(servers))
        redis = KeptRedis(servers["SERVERS_ROOT"])
        stack.callback(redis.remove)
        redis.start()
        timescale = gate = None
        gates = Gates()
        stack.callback(gates.close)
        if history:
            timescale = stack.enter_context(own_database(servers))
            gate = gates.make(urlsplit(timescale.owner).port or 5432)
        source_gate = gates.make(mysql.where.port)
        found = kind(servers, mysql, redis, timescale, gate, source_gate, folder)
        found.prepare()
        if exchange:
            found.open_exchange(stack.enter_context(local_exchange(folder)))
        stack.callback(found.end)
        yield found
