"""A worker of one application, with a handler of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from shared.settings import Settings
from tests.laravel_stores import Storage, open_storage
from tests.laravel_world import LaravelWorld
from tests.workers.laravel.jobs import Handler, Worked

Configure = Callable[..., Worked]


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def configure(
    laravel: LaravelWorld, settings_for: Callable[..., Settings], handler: Handler
) -> Configure:
    """`configure(FLEET_QUEUES="a,b")`: the same application with other settings."""
    (version,) = laravel.php("echo json_encode($app->version()), PHP_EOL;")

    def make(**more: str) -> Worked:
        wanted = {
            "CACHE_STORE": "redis", "CACHE_PREFIX": "cache", "FLEET_LARAVEL_VERSION": version,
        }  # fmt: skip
        return Worked(laravel, settings_for("laravel", **(wanted | more)), handler)

    return make


@pytest.fixture
def worked(configure: Configure) -> Worked:
    return configure()


@pytest.fixture
def storage(servers: Mapping[str, str]) -> Iterator[Storage]:
    """The application's storage folder, which PHP sees too."""
    with open_storage(servers) as found:
        yield found
