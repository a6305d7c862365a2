from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from shared.errors import InvalidEvent
from shared.mysql.parked import ERROR_CHARACTERS
from shared.streams.decode import decode, routes
from tests.event_samples import PARTITIONS, flat
from tests.malformed import Malformed, malformed
from workers.registry import EVENTS, UPCASTERS

TABLE = routes(EVENTS, UPCASTERS)
REASON_WIDTH = 64  # fleet_parked.reason


@pytest.fixture(scope="module")
def kinds() -> list[Malformed]:
    return list(malformed())


def refusals(kinds: list[Malformed]) -> Iterator[tuple[Malformed, InvalidEvent | None]]:
    for bad in kinds:
        refusal = None
        try:
            decode(bad.stream, bad.partition, PARTITIONS, "5-1", flat(bad.fields), TABLE)
        except InvalidEvent as error:
            refusal = error
        yield bad, refusal


def test_there_are_thousands_of_distinct_kinds(kinds: list[Malformed]) -> None:
    assert len({bad.kind for bad in kinds}) == len(kinds)
    entries = {(bad.stream, bad.partition, tuple(bad.fields.items())) for bad in kinds}
    assert len(entries) == len(kinds)
    assert len(kinds) >= 5_000


def test_every_kind_is_refused_for_its_reason_in_words(kinds: list[Malformed]) -> None:
    wrong = []
    reasons: Counter[str] = Counter()
    for bad, refusal in refusals(kinds):
        if refusal is None or refusal.reason not in bad.reasons:
            wrong.append(f"{bad.kind}: {refusal}, expected {sorted(bad.reasons)}")
            continue
        reasons[refusal.reason] += 1
        if not (
            refusal.detail.isascii()
            and refusal.detail.isprintable()
            and 20 < len(refusal.detail) < ERROR_CHARACTERS
            and len(refusal.reason) <= REASON_WIDTH
        ):
            wrong.append(f"{bad.kind}: {refusal.detail!r} is no sentence that fits its column")
    assert wrong == []
    assert set(reasons) == {
        "invalid_json", "malformed", "missing_field", "too_large", "unknown_type",
        "unknown_version", "wrong_key", "wrong_partition", "wrong_stream",
    }  # fmt: skip


def test_the_same_seed_gives_the_same_entries_and_another_seed_others() -> None:
    assert list(malformed(5)) == list(malformed(5))
    assert {bad.fields[b"data"] for bad in malformed(5) if b"data" in bad.fields} != {
        bad.fields[b"data"] for bad in malformed(6) if b"data" in bad.fields
    }
