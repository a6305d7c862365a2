"""What `fleet doctor` says of queue, cache, Horizon and the application's side."""

from __future__ import annotations

import pytest

from shared.settings import load
from workers.diagnosis import Finding
from workers.diagnosis_laravel import laravel

GOOD = {
    "DB_DATABASE": "desk", "DB_USERNAME": "desk", "DB_PASSWORD": "secret",
    "REDIS_PREFIX": "desk_", "QUEUE_CONNECTION": "redis", "CACHE_STORE": "redis",
    "APP_MAINTENANCE_DRIVER": "cache",
    "FLEET_LARAVEL_JOBS": "App\\Jobs\\Fleet\\DayClosed", "FLEET_LARAVEL_HORIZON": "v5.29.1",
}  # fmt: skip


def found(**changed: str) -> list[Finding]:
    return laravel(load("laravel", {"FLEET_ENV_FILE": "/dev/null", **GOOD, **changed}))


def test_a_good_guest_is_told_which_queues_it_works_on() -> None:
    assert found(FLEET_QUEUES="fleet,slow") == [Finding("laravel", "ok", "queues fleet, slow")]


@pytest.mark.parametrize(
    ("changed", "level", "words"),
    [
        ({"REDIS_QUEUE_RETRY_AFTER": ""}, "fail", "never comes back"),
        ({"FLEET_QUEUE_TIMEOUT": "90"}, "warn", "a second time"),
        ({"REDIS_QUEUE_RETRY_AFTER": "30"}, "warn", "a second time"),
        ({"QUEUE_CONNECTION": "sync"}, "warn", "queues nothing"),
        ({"CACHE_STORE": ""}, "warn", "written nowhere"),
        ({"CACHE_STORE": "memcached"}, "warn", "not seen from here"),
        ({"CACHE_STORE": "file"}, "warn", "not seen from here"),
        ({"APP_MAINTENANCE_DRIVER": "file"}, "warn", "not obeyed"),
        ({"QUEUE_FAILED_DRIVER": "dynamodb"}, "fail", "could not be recorded"),
        ({"QUEUE_FAILED_DRIVER": "file"}, "fail", "not on this host"),
        ({"QUEUE_FAILED_DRIVER": "null"}, "warn", "are gone"),
        ({"FLEET_LARAVEL_HORIZON": "v5.8.1"}, "fail", "other records"),
        ({"FLEET_LARAVEL_HORIZON": "v4.3.0"}, "fail", "other records"),
        ({"FLEET_LARAVEL_HORIZON": "v5.46.0"}, "warn", "newer"),
        ({"FLEET_LARAVEL_HORIZON": "6.0.0"}, "warn", "newer"),
        ({"FLEET_LARAVEL_JOBS": ""}, "warn", "fleet-events"),
    ],
)
def test_what_is_wrong_comes_with_its_cure(
    changed: dict[str, str], level: str, words: str
) -> None:
    (finding,) = found(**changed)
    assert (finding.level, bool(finding.cure)) == (level, True)
    assert words in finding.text


@pytest.mark.parametrize(
    "changed",
    [
        {"FLEET_LARAVEL_HORIZON": "v5.9.0"},
        {"FLEET_LARAVEL_HORIZON": "v5.45.6"},
        {"FLEET_LARAVEL_HORIZON": ""},
        {"FLEET_LARAVEL_HORIZON": "v4.3.0", "FLEET_HORIZON": "off"},
        {"CACHE_STORE": "database"},
        {"CACHE_STORE": "file", "FLEET_LARAVEL_STORAGE": "/srv/app/storage"},
        {"APP_MAINTENANCE_DRIVER": "file", "FLEET_LARAVEL_STORAGE": "/srv/app/storage"},
        {"QUEUE_FAILED_DRIVER": "file", "FLEET_LARAVEL_STORAGE": "/srv/app/storage"},
    ],
)
def test_what_is_right_is_not_mentioned(changed: dict[str, str]) -> None:
    assert [finding.level for finding in found(**changed)] == ["ok"]
