"""Whose an account is: a change of its user in Laravel becomes a dated fact."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the facts noted."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.note_owners(settings)
