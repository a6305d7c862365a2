"""A TimescaleDB database of a test session's own, and users of roles with exactly their grants."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg

from shared.settings import Settings
from workers.migrate import migrate_timescale
from workers.timescale_grants import TABLES, timescale_lines

ROLES = tuple(TABLES)
PASSWORD = uuid.uuid4().hex


class Timescale:
    """One migrated database. `url(role)` is what that role's FLEET_TIMESCALE_URL says."""

    def __init__(self, owner_url: str, name: str) -> None:
        self._owner_url = owner_url
        self.name = name
        self.owner = _with(owner_url, database=name)

    def migrate(self, settings: Settings) -> None:
        """As the database's owner, then the roles' grants."""
        migrate_timescale(settings)
        with psycopg.connect(self.owner) as connection:
            for role in ROLES:
                for line in timescale_lines(role, self._user(role), PASSWORD)[1:]:
                    connection.execute(line.encode())

    def make_roles(self, root: psycopg.Connection[tuple[object, ...]]) -> None:
        for role in ROLES:
            root.execute(timescale_lines(role, self._user(role), PASSWORD)[0].encode())

    def drop_roles(self, root: psycopg.Connection[tuple[object, ...]]) -> None:
        for role in ROLES:
            root.execute(f'DROP ROLE "{self._user(role)}"'.encode())

    def url(self, role: str) -> str:
        return _with(self._owner_url, database=self.name, user=self._user(role), password=PASSWORD)

    def run(self, sql: str) -> list[tuple[object, ...]]:
        """As the owner."""
        with psycopg.connect(self.owner) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> None:
        """All tables but the version's."""
        tables = self.run(
            "SELECT string_agg(format('fleet.%I', tablename), ', ') FROM pg_tables"
            " WHERE schemaname = 'fleet' AND tablename <> 'alembic_version'"
        )
        self.run(f"TRUNCATE {tables[0][0]}")

    def _user(self, role: str) -> str:
        return f"{self.name}_{role}"


@contextmanager
def own_database(servers: Mapping[str, str]) -> Iterator[Timescale]:
    """Not migrated yet; goes with the session."""
    owner_url = servers["FLEET_TIMESCALE_URL"]
    password = servers["SERVERS_TIMESCALE_ROOT_PASSWORD"]
    root_url = _with(owner_url, database="postgres", user="postgres", password=password)
    made = Timescale(owner_url, f"fleet_t_{uuid.uuid4().hex[:10]}")
    owner = urlsplit(owner_url).username
    with psycopg.connect(root_url, autocommit=True) as root:
        root.execute(f"CREATE DATABASE {made.name} OWNER {owner} TEMPLATE template0".encode())
        try:
            made.make_roles(root)
            yield made
        finally:
            root.execute(f"DROP DATABASE {made.name} WITH (FORCE)".encode())
            made.drop_roles(root)


def _with(url: str, *, database: str, user: str | None = None, password: str | None = None) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")
    who = place[0] if user is None else f"{quote(user)}:{quote(password or '')}"
    return urlunsplit(parts._replace(netloc=f"{who}@{place[2]}", path=f"/{database}"))
