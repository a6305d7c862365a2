"""Keys of Laravel's locks, as each version wrote them and as the real one beside us does."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from shared.laravel.locks import (
    Version,
    overlap_lock_names,
    shared_overlap_lock_name,
    unique_lock_names,
)

JOB = r"App\Jobs\UniqJob"
SYNC = "b8930148010144ebe7478f1df42d2254"


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ((8, 83), r"laravel_unique_job:App\Jobs\UniqJobid7"),
        ((9, 52), r"laravel_unique_job:App\Jobs\UniqJobid7"),
        ((10, 48), r"laravel_unique_job:App\Jobs\UniqJobid7"),
        ((11, 0), r"laravel_unique_job:App\Jobs\UniqJob:id7"),
        ((12, 40), r"laravel_unique_job:App\Jobs\UniqJob:id7"),
        ((12, 41), r"laravel_unique_job:App\Jobs\UniqJob:id7"),
        ((12, 54), r"laravel_unique_job:App\Jobs\UniqJob:id7"),
        ((13, 31), r"laravel_unique_job:App\Jobs\UniqJob:id7"),
    ],
)
def test_a_unique_lock_of_a_known_version_has_one_name(version: Version, name: str) -> None:
    assert unique_lock_names(JOB, "id7", version=version) == (name,)


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ((10, 48), r"laravel_unique_job:App\Jobs\UniqJobid7"),
        ((12, 40), r"laravel_unique_job:App\Jobs\UniqJob:id7"),
        ((12, 41), "laravel_unique_job:Sync orders:id7"),
        ((12, 53), "laravel_unique_job:Sync orders:id7"),
        ((12, 54), f"laravel_unique_job:{SYNC}:id7"),
        ((13, 0), f"laravel_unique_job:{SYNC}:id7"),
    ],
)
def test_a_display_name_of_its_own_changes_the_lock(version: Version, name: str) -> None:
    assert unique_lock_names(JOB, "id7", "Sync orders", version) == (name,)


def test_without_a_version_every_name_is_told_newest_first() -> None:
    assert unique_lock_names(JOB, "id7") == (
        r"laravel_unique_job:App\Jobs\UniqJob:id7",
        r"laravel_unique_job:App\Jobs\UniqJobid7",
    )
    assert unique_lock_names(JOB, "id7", "Sync orders") == (
        f"laravel_unique_job:{SYNC}:id7",
        "laravel_unique_job:Sync orders:id7",
        r"laravel_unique_job:App\Jobs\UniqJob:id7",
        r"laravel_unique_job:App\Jobs\UniqJobid7",
    )


@pytest.mark.parametrize(
    ("display_name", "digest"),
    [
        ("Sync orders", SYNC),
        (r"App\Jobs\X", "4d6be50fe36a20c524c75c3de8bd3a3b"),
        ("é", "90326970ab18793af7940a006cf10cb3"),
    ],
)
def test_the_hash_of_a_display_name_is_that_of_php(display_name: str, digest: str) -> None:
    (found,) = unique_lock_names("A", "", display_name, (12, 54))
    assert found == f"laravel_unique_job:{digest}:"


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ((8, 83), r"laravel-queue-overlap:App\Jobs\UniqJob:k"),
        ((12, 40), r"laravel-queue-overlap:App\Jobs\UniqJob:k"),
        ((12, 41), "laravel-queue-overlap:Sync orders:k"),
        ((12, 54), f"laravel-queue-overlap:{SYNC}:k"),
    ],
)
def test_an_overlap_lock_has_a_colon_in_every_version(version: Version, name: str) -> None:
    assert overlap_lock_names(JOB, "k", "Sync orders", version) == (name,)
    plain = (rf"laravel-queue-overlap:{JOB}:k",)
    assert overlap_lock_names(JOB, "k", version=version) == overlap_lock_names(JOB, "k") == plain


def test_an_overlap_lock_may_have_a_prefix_of_its_own() -> None:
    assert overlap_lock_names(JOB, "k", prefix="mine:") == (f"mine:{JOB}:k",)
    assert shared_overlap_lock_name("k") == "laravel-queue-overlap:k"
    assert shared_overlap_lock_name("k", "mine:") == "mine:k"


@pytest.mark.parametrize("names", [unique_lock_names, overlap_lock_names])
def test_a_version_before_8_is_refused(names: Callable[..., tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match=r"Laravel 7\.30 is older than 8\.0"):
        names(JOB, "id7", version=(7, 30))


ASK = r"""
require 'bootstrap/autoload.php';
class Plain { public $uniqueId = 'id7'; }
class Named extends Plain { function displayName() { return 'Sync orders'; } }
$cache = new Illuminate\Cache\Repository(new Illuminate\Cache\ArrayStore);
$unique = new Illuminate\Bus\UniqueLock($cache);
$key = new ReflectionMethod($unique, 'getKey');
$overlap = (new Illuminate\Queue\Middleware\WithoutOverlapping('k'));
$parts = explode('.', Illuminate\Foundation\Application::VERSION);
echo json_encode([
    "$parts[0].$parts[1]",
    array_map(fn ($job) => $key->invoke($unique, $job), [new Plain, new Named]),
    array_map(fn ($job) => $overlap->getLockKey($job), [new Plain, new Named]),
    $overlap->shared()->getLockKey(new Plain),
]);
"""


@pytest.mark.database
def test_real_laravel_asks_for_the_same_names(php: Callable[..., list[str]]) -> None:
    written, unique, overlap, shared = json.loads(php(ASK)[0])
    major, minor = map(int, written.split("."))
    version = (major, minor)
    jobs = [("Plain", None), ("Named", "Sync orders")]
    assert unique == [unique_lock_names(job, "id7", name, version)[0] for job, name in jobs]
    assert overlap == [overlap_lock_names(job, "k", name, version)[0] for job, name in jobs]
    assert shared == shared_overlap_lock_name("k")
