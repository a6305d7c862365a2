"""The Laravel worker on real servers, fed by real PHP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.laravel_world import LaravelWorld
from tests.waiting import eventually

database = pytest.mark.database
pytestmark = database


def requests(world: LaravelWorld) -> list[tuple[Any, ...]]:
    return world.rows("SELECT class, arguments, attempts FROM fleet_requests ORDER BY answered_at")


PING = """
class_exists('Tradefleet\\\\Laravel\\\\Jobs\\\\Ping') || eval('
namespace Tradefleet\\\\Laravel\\\\Jobs;
class Ping implements \\\\Illuminate\\\\Contracts\\\\Queue\\\\ShouldQueue {
    use \\\\Illuminate\\\\Bus\\\\Queueable, \\\\Illuminate\\\\Foundation\\\\Bus\\\\Dispatchable,
        \\\\Illuminate\\\\Queue\\\\InteractsWithQueue, \\\\Illuminate\\\\Queue\\\\SerializesModels;
    public function __construct(public string $token) {}
}');
"""


def test_a_job_that_php_dispatched_is_run_and_leaves_nothing(laravel: LaravelWorld) -> None:
    laravel.php(PING + "Tradefleet\\Laravel\\Jobs\\Ping::dispatch('abc')->onQueue('fleet');")
    assert laravel.lengths() == (1, 0, 0)
    with laravel.working():
        eventually(lambda: requests(laravel))
        eventually(lambda: laravel.lengths() == (0, 0, 0))
    assert requests(laravel) == [
        ("Tradefleet\\Laravel\\Jobs\\Ping", json.dumps({"token": "abc"}, separators=(",", ":")), 1)
    ]
    assert laravel.failed() == []
