"""Plain data as YAML: what our manifests need of it, and nothing else. Text is always quoted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def document(value: Mapping[str, Any]) -> str:
    return "\n".join(_lines(value)) + "\n"


def documents(values: Sequence[Mapping[str, Any]], head: str) -> str:
    """head: comment lines."""
    return head + "---\n".join(document(value) for value in values)


def _lines(value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [line for key, one in value.items() for line in _entry(f"{key}:", one)]
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return [line for one in value for line in _item(one)]
    return [json.dumps(value)]


def _entry(key: str, value: Any) -> list[str]:
    if isinstance(value, Mapping | list | tuple) and value:
        return [key, *(f"  {line}" for line in _lines(value))]
    return [f"{key} {json.dumps(value)}"]


def _item(value: Any) -> list[str]:
    first, *rest = _lines(value)
    return [f"- {first}", *(f"  {line}" for line in rest)]
