"""The two sets of servers: what each root holds and the least version we accept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A program in the root: the package that brings it and the least version that will do."""

    title: str
    package: str
    version_of: str
    least: tuple[int, ...]


@dataclass(frozen=True)
class Flavour:
    name: str
    suite: str
    parts: tuple[Part, ...]
    extra_packages: tuple[str, ...]
    postgres: int
    download_mb: int
    disk_mb: int
    minutes: int
    apt_options: tuple[str, ...] = ()

    @property
    def packages(self) -> list[str]:
        return [part.package for part in self.parts] + list(self.extra_packages)


APT_OPTIONS = ('Apt::Install-Recommends "false"',)

MARIADB = Flavour(
    name="mariadb",
    suite="trixie",
    parts=(
        Part("Redis", "redis-server", "redis-server", (8, 0)),
        Part("MariaDB", "mariadb-server", "mariadb-server", (11, 8)),
        Part("PostgreSQL", "postgresql-17", "postgresql-17", (17,)),
        Part("TimescaleDB", "postgresql-17-timescaledb", "postgresql-17-timescaledb", (2, 19)),
        Part("PHP", "php-cli", "php-cli", (8, 2)),
        Part("Laravel", "php-laravel-framework", "php-laravel-framework", (10, 48)),
    ),
    extra_packages=("php-redis", "php-mysql"),
    postgres=17,
    download_mb=180,
    disk_mb=900,
    minutes=2,
    apt_options=APT_OPTIONS,
)

MYSQL = Flavour(
    name="mysql",
    suite="sid",
    parts=(
        Part("Redis", "redis-server", "redis-server", (8, 0)),
        Part("MySQL", "mysql-server", "mysql-server", (9, 7)),
        Part("PostgreSQL", "postgresql-18", "postgresql-18", (18,)),
        Part("TimescaleDB", "postgresql-18-timescaledb", "postgresql-18-timescaledb", (2, 31)),
        Part("PHP", "php-cli", "php-cli", (8, 2)),
        Part("Laravel", "php-laravel-framework", "php-laravel-framework", (13, 31)),
    ),
    extra_packages=("php-redis", "php-mysql"),
    postgres=18,
    download_mb=180,
    disk_mb=1000,
    minutes=2,
    # sid's index is often past its valid-until date on mirrors that lag or stand still.
    apt_options=(*APT_OPTIONS, 'Acquire::Check-Valid-Until "false"'),
)

FLAVOURS = {flavour.name: flavour for flavour in (MARIADB, MYSQL)}
DOCKER = "docker"
