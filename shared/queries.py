"""SQL in files of its own: `-- name: xyz` starts a block, the next one or the end of the file ends
it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)[ \t]*$", re.MULTILINE)


def load(path: Path) -> Mapping[str, str]:
    """Name -> statement, of the `.sql` file at `path`.

    Raises ValueError for a file without blocks, a name given twice, or a block without a statement.
    """
    parts = _NAME.split(path.read_text(encoding="utf-8"))
    names, bodies = parts[1::2], parts[2::2]
    if not names:
        raise ValueError(f"{path.name} has no `-- name:` block")
    found: dict[str, str] = {}
    for name, body in zip(names, bodies, strict=True):
        statement = body.strip().rstrip(";")
        if not statement:
            raise ValueError(f"{path.name}: block {name} is empty")
        if name in found:
            raise ValueError(f"{path.name}: block {name} stands twice")
        found[name] = statement
    return MappingProxyType(found)
