"""JSON Schemas of the event bodies, for producers. `python -m tests.schemas` writes them anew."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter

from workers.registry import EVENTS

FOLDER = Path(__file__).with_name("fixtures") / "schemas"


def schema_text(type_: str) -> str:
    schema = TypeAdapter(EVENTS[type_].model).json_schema() | {"title": type_}
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def main() -> None:
    for type_ in EVENTS:
        (FOLDER / f"{type_}.json").write_text(schema_text(type_))


if __name__ == "__main__":
    main()
