"""The Lua scripts of this folder, each one atomic step on Laravel's keys.

They take the time from Redis, so workers on hosts with different clocks agree; Laravel itself
scores with the clock of the PHP host.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).with_name("lua")

# Consumers go on when Redis is at its memory limit: what they do frees memory or moves it.
# A producer is refused there, and must hear of it.
_AT_THE_LIMIT_TOO = "#!lua flags=allow-oom\n"
_PRODUCER = "#!lua\n"


def script(name: str, *, producer: bool = False) -> str:
    """The text of one script, with what all share in front."""
    common = (_FOLDER / "common.lua").read_text(encoding="utf-8")
    body = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    return (_PRODUCER if producer else _AT_THE_LIMIT_TOO) + common + body
