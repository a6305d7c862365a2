"""Real PHP, of the root that the servers run in, with the application's Laravel beside it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from shared.settings import Settings
from tests.laravel_stores import STORE_NAMES, Storage, Store, open_storage, open_store
from tests.laravel_world import LaravelWorld

RunPhp = Callable[..., list[str]]


@pytest.fixture(scope="session")
def php(servers: Mapping[str, str]) -> RunPhp:
    """`php(code, lines)`: one process gets the lines on STDIN; its output, line by line."""

    def run(code: str, lines: Sequence[str] = ()) -> list[str]:
        done = subprocess.run(
            [servers["SERVERS_PHP"], "-d", "display_errors=stderr", "-r", code],
            input="".join(f"{line}\n" for line in lines),
            text=True, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stderr, done.stderr
        return done.stdout.splitlines()

    return run


@pytest.fixture
def storage(servers: Mapping[str, str]) -> Iterator[Storage]:
    """A storage folder that PHP sees too."""
    with open_storage(servers) as found:
        yield found


@pytest.fixture(params=STORE_NAMES)
def store(
    request: pytest.FixtureRequest,
    laravel: LaravelWorld,
    settings_for: Callable[..., Settings],
    storage: Storage,
) -> Iterator[Store]:
    """Each cache store that an application may have."""
    with open_store(request.param, laravel, settings_for, storage) as found:
        yield found
