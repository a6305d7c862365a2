"""A role as a process: `python -m workers.start streams`. What supervisors and images run.

The command stands in ROLES alone, so no unit file repeats it; FLEET_SLOT numbers nodes of one host.
Any other word is a command of `fleet`: an image runs `migrate` and `status` as it runs its role.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from workers.roles import ROLES, procfile_command

_SLOT = "${FLEET_SLOT:-1}"


def words_of(role: str, environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What the role's process finds in its environment, and its command. KeyError: no such role."""
    line = procfile_command(role).replace(_SLOT, environ.get("FLEET_SLOT") or "1")
    words = shlex.split(line)
    settings = [word for word in words if "=" in word.split(" ", 1)[0] and word[0].isupper()]
    named = dict(word.split("=", 1) for word in settings)
    return {**environ, **named}, words[len(settings) :]


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in ROLES:
        environ, words = words_of(arguments[0], os.environ)
    else:
        environ, words = dict(os.environ), ["python", "-m", "workers.cli", *arguments]
    programs = Path(sys.executable).parent
    # The programs of the environment we run in, whatever the caller's PATH says.
    environ["PATH"] = f"{programs}{os.pathsep}{environ.get('PATH', '')}"
    # In our place: the signals of whoever supervises us go to the role itself.
    os.execve(programs / words[0], words, environ)  # noqa: S606 - a command of our own table
    return 1  # pragma: no cover - execve does not return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
