"""Every version ever produced still means what it meant: a body as the ledger is told it. Files are
only ever added.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter

from shared.streams.decode import decode, routes
from shared.streams.keys import partition_of
from tests.schemas import FOLDER, schema_text
from workers.registry import EVENTS, UPCASTERS

FILES = sorted((Path(__file__).parents[2] / "fixtures" / "events").glob("*.json"))
TABLE = routes(EVENTS, UPCASTERS)
RECORDS = (
    "record_fills", "record_cash", "record_orders", "record_signals", "record_position_entries",
    "record_observed_positions", "record_observed_balances",
)  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_entry_decodes_to_its_body(path: Path) -> None:
    golden: dict[str, Any] = json.loads(path.read_text())
    fields = {name.encode(): value.encode() for name, value in golden["entry"].items()}
    partition = partition_of(golden["entry"]["key"], 32)
    event = decode(golden["stream"], partition, 32, "5-1", fields, TABLE)
    assert event.type == golden["type"]
    told: list[Any] = []
    book = SimpleNamespace(**dict.fromkeys(RECORDS, told.extend))
    EVENTS[event.type].apply(book, [event])
    said = TypeAdapter(EVENTS[event.type].model).dump_python(event.body, mode="json")
    meant = told[0]._asdict() | said
    assert known({name: meant.get(name) for name in golden["body"]}) == known(golden["body"])


def known(value: Any) -> Any:
    """Without the fields that say nothing: left out, null and empty are one."""
    if isinstance(value, dict):
        return {name: known(one) for name, one in value.items() if one not in (None, "", [])}
    return [known(one) for one in value] if isinstance(value, list) else value


def test_every_version_that_is_understood_has_a_golden_file() -> None:
    understood = {*EVENTS, *(f"{name}.{version}" for name, version in UPCASTERS)}
    kept = {json.loads(path.read_text())["entry"]["type"] for path in FILES}
    assert kept == understood


@pytest.mark.parametrize("type_", EVENTS)
def test_the_published_schema_is_unchanged(type_: str) -> None:
    published = (FOLDER / f"{type_}.json").read_text()
    assert published == schema_text(type_), (
        "within a version fields may only be added; then run `python -m tests.schemas`"
    )


@pytest.mark.parametrize("type_", EVENTS)
def test_no_schema_lets_an_amount_be_a_number(type_: str) -> None:
    properties = json.loads(schema_text(type_))["properties"]
    numbers = {name for name, one in properties.items() if '"number"' in json.dumps(one)}
    assert not numbers
    amounts = {"qty", "price", "fee", "amount", "basis", "cost", "wallet", "stop", "leverage"}
    for name in amounts & set(properties):
        assert '"pattern"' in json.dumps(properties[name])
