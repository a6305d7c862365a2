"""The desk's Laravel application on schemas and a Redis prefix of the test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from tests.laravel_application import LaravelApplication


@pytest.fixture
def app(
    servers: Mapping[str, str],
    mysql_root: MySQLSettings,
    fleet_schema: str,
    redis_root: Any,
    redis_prefix: str,
) -> Iterator[LaravelApplication]:
    """The fleet's tables are there and empty, and so are Laravel's."""
    environ = {
        "PATH": os.environ["PATH"],
        "REDIS_PREFIX": redis_prefix,
        "CACHE_PREFIX": "cache",
        "DB_DATABASE": f"{fleet_schema}_laravel",
        "DB_USERNAME": "root",
        "DB_PASSWORD": servers["SERVERS_DB_ROOT_PASSWORD"],
        "FLEET_DB_DATABASE": fleet_schema,
    }
    with closing(connect(mysql_root, fleet_schema)) as connection:
        yield LaravelApplication(
            servers["SERVERS_PHP"], environ, connection, redis_root, redis_prefix
        )
