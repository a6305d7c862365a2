"""Real PHP, of the root that the servers run in, with the application's Laravel beside it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence

import pytest

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
