"""What each root holds and the least version we accept: two sets of servers, one of tools."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A program in the root: the package that brings it and the least version that will do."""

    title: str
    package: str
    version_of: str
    least: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Contents:
    """hooks: arguments of mmdebstrap."""

    name: str
    suite: str
    parts: tuple[Part, ...]
    extra_packages: tuple[str, ...] = ()
    download_mb: int
    disk_mb: int
    minutes: int
    apt_options: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()

    @property
    def packages(self) -> list[str]:
        return [part.package for part in self.parts] + list(self.extra_packages)


@dataclass(frozen=True, kw_only=True)
class Flavour(Contents):
    """A set of servers."""

    postgres: int


APT_OPTIONS = ('Apt::Install-Recommends "false"',)
# Debian's postgresql would make a cluster of its own on installation; nobody would use it.
NO_CLUSTER = (
    'mkdir -p "$1/etc/postgresql-common" && '
    'echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"'
)
# The packages' own data folders: ours are elsewhere, and these take 200 MB.
NO_DATA = 'rm -rf "$1"/var/lib/mysql/* "$1"/var/lib/mysql-files/* "$1"/var/lib/redis/*'
# Laravel 11 and later look for their base configuration four directories above the class
# that loads it, which in Debian's layout is /usr/share/config.
LARAVEL_CONFIG = (
    'if [ -d "$1/usr/share/php/Illuminate/config" ]; then '
    'ln -sfn /usr/share/php/Illuminate/config "$1/usr/share/config"; fi'
)
SERVER_HOOKS = (
    f"--essential-hook={NO_CLUSTER}",
    f"--customize-hook={NO_DATA}",
    f"--customize-hook={LARAVEL_CONFIG}",
)

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
    hooks=SERVER_HOOKS,
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
    hooks=SERVER_HOOKS,
)

# Of one suite, whatever the servers are: the tests of both flavours use the same ones. A root of
# their own, because a demo needs none of them.
TOOLS = Contents(
    name="tools",
    suite="trixie",
    parts=(
        Part("Prometheus", "prometheus", "prometheus", (2, 53)),
        Part("Chromium", "chromium-headless-shell", "chromium-headless-shell", (140,)),
    ),
    download_mb=250,
    disk_mb=850,
    minutes=2,
    apt_options=APT_OPTIONS,
)

FLAVOURS = {flavour.name: flavour for flavour in (MARIADB, MYSQL)}
DOCKER = "docker"
