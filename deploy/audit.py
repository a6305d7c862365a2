"""Known vulnerabilities of what requirements.lock names: `make audit`.

Exit 0: none is known. 1: some are, and are listed. 2: nothing was audited, because pip-audit or its
database of advisories cannot be reached, or it left a package out. Not a part of CI: what others
publish tonight must not fail what was right yesterday.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

LOCK = "requirements.lock"
SECONDS = 600


class Verdict(NamedTuple):
    code: int
    lines: tuple[str, ...]


def audit(program: Path, lock: Path) -> Verdict:
    """program: pip-audit. Versions are taken as they stand; nothing is installed or resolved."""
    try:
        ran = subprocess.run(
            [program, "--requirement", lock, "--require-hashes", "--disable-pip", "--strict",
             "--vulnerability-service", "osv", "--format", "json", "--progress-spinner", "off"],
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return _nothing(f"{program}: {error}")
    return verdict(ran.stdout, ran.stderr)


def verdict(told: str, said: str) -> Verdict:
    """told: pip-audit's JSON. said: its complaints. It ends with 1 for both of the last cases."""
    try:
        packages: list[dict[str, Any]] = json.loads(told)["dependencies"]
    except (ValueError, KeyError, TypeError):
        words = said.strip().splitlines()
        return _nothing(words[-1] if words else "pip-audit said nothing")
    left_out = [f"{one['name']}: {one['skip_reason']}" for one in packages if "skip_reason" in one]
    if left_out or not packages:
        return _nothing(*left_out or ("no package was looked at",))
    found = tuple(_found(packages))
    if found:
        return Verdict(1, found)
    return Verdict(0, (f"{len(packages)} packages, no known vulnerability",))


def _found(packages: Iterable[dict[str, Any]]) -> Iterable[str]:
    for one in packages:
        for known in one.get("vulns", ()):
            mended = ", ".join(known.get("fix_versions", ())) or "no version yet"
            yield f"{one['name']} {one['version']}: {known['id']}, mended in {mended}"


def _nothing(*why: str) -> Verdict:
    return Verdict(2, ("NOT AUDITED: the dependencies were not compared with any advisory", *why))


def main() -> int:
    """The one argument is pip-audit's path."""
    found = audit(Path(sys.argv[1]), Path(LOCK))
    print("\n".join(found.lines))
    return found.code


if __name__ == "__main__":
    sys.exit(main())
