"""Flower's password: from FLEET_FLOWER_AUTH to FLOWER_BASIC_AUTH, never through a command line.

Without one Flower opens its pages to everybody, so we refuse to start it.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping

from shared.errors import SettingsError

DEFAULT_PORT = 5555


def set_password(environ: MutableMapping[str, str]) -> None:
    """Puts the password where Flower reads it. SettingsError if there is none, or a broken one."""
    text = environ.get("FLEET_FLOWER_AUTH") or environ.get("FLOWER_BASIC_AUTH")
    # Flower splits the variable at commas, and the name from the password at the first colon.
    if not text or not re.fullmatch(r"[^:,\s]+:[^,\s]+", text):
        raise SettingsError(
            "FLEET_FLOWER_AUTH: write user:password (no comma, no blank); `make up` generates one "
            "in .fleet/flower.auth"
        )
    environ["FLOWER_BASIC_AUTH"] = text


def port(environ: MutableMapping[str, str]) -> int:
    """Flower's own setting FLOWER_PORT, or its default."""
    return int(environ.get("FLOWER_PORT") or DEFAULT_PORT)
