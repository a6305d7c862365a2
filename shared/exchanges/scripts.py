"""The Lua scripts of the limiter: each one atomic step, by one clock for every process."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).with_name("lua")

# A full Redis must not let every process ask the venue without a limit.
_AT_THE_LIMIT_TOO = "#!lua flags=allow-oom\n"
# So that a role that may only read can look (EVAL_RO).
_READS_ONLY = "#!lua flags=no-writes\n"


def script(name: str) -> str:
    """The text of one script, with what all share in front."""
    common = (_FOLDER / "common.lua").read_text(encoding="utf-8")
    body = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    return (_READS_ONLY if name == "look" else _AT_THE_LIMIT_TOO) + common + body
