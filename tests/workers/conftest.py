"""`fleet` as an operator types it, as the role `cli`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from tests.runtime_world import PARTITIONS
from workers import (
    cli,
    facts_cli,
    prices_cli,
    reconcile_cli,
    status_cli,
    sync_cli,
)
from workers.laravel import cli as laravel_cli
from workers.quality import cli as quality_cli
from workers.statement import cli as statement_cli

Fleet = Callable[..., Result]


@pytest.fixture
def fleet(environ_for: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """Runs one command line; its settings come from the environment, as always."""
    more = {"APP_NAME": "Desk", "FLEET_PARTITIONS": str(PARTITIONS)}
    for name, value in environ_for("cli", **more).items():
        monkeypatch.setenv(name, value)
    for module in (
        cli, facts_cli, laravel_cli, prices_cli, quality_cli, reconcile_cli, statement_cli,
        status_cli, sync_cli,
    ):  # fmt: skip
        monkeypatch.setattr(module.console, "width", 300)
    return lambda *words, given=None: CliRunner().invoke(cli.fleet, words, input=given)
