"""Types every command of `fleet`, with made-up arguments: `python -m tests.security.every_command`.

What a person would see goes to the standard output, a bug's traceback as well. CONTROL is one of
the made-up arguments.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import click

from shared.errors import FleetError
from workers.cli import fleet

SECONDS = 8
"""A command that would go on for ever is ended."""
MADE_UP = {
    "DATE": "2026-07-01", "day": "2026-07-01", "first": "2026-07-01", "last": "2026-07-02",
    "row_key": "1", "seq": "1..2", "as_of": "2026-07-01T08:00Z", "stream": "orders",
    "role": os.environ.get("CONTROL", "nobody"),
}  # fmt: skip
LEFT_OUT = {"watch", "help"}


def commands(group: click.Group = fleet, words: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """Each leaf with what it asks for."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield [*words, name, *_arguments(command)]


def _arguments(command: click.Command) -> Iterator[str]:
    for one in command.params:
        if one.name in LEFT_OUT:
            continue
        if isinstance(one, click.Argument):
            yield _value(one)
        elif isinstance(one, click.Option) and (one.required or one.name in {"reason", "because"}):
            yield one.opts[-1]
            if not one.is_flag:
                yield _value(one)
        elif isinstance(one, click.Option) and one.name in {"everything", "yes"}:
            yield one.opts[-1]


def _value(one: click.Parameter) -> str:
    if isinstance(one.type, click.Choice):
        return str(next(iter(one.type.choices)))
    if isinstance(one.type, click.Path | click.File):
        return tempfile.mkdtemp(dir=Path.home())
    return MADE_UP.get(one.name or "", "1")


def _too_long(*_: object) -> None:
    raise TimeoutError(f"not done after {SECONDS} s")


def main() -> None:
    signal.signal(signal.SIGALRM, _too_long)
    for words in commands():
        print(f"$ fleet {' '.join(words)}", flush=True)
        signal.alarm(SECONDS)
        try:
            fleet.main(words, prog_name="fleet", standalone_mode=False)
        except FleetError as error:
            print(f"fleet: {error}")
        except click.ClickException as error:
            error.show(sys.stdout)
        except SystemExit as error:
            print(f"exit {error.code}")
        except BaseException:  # noqa: BLE001 - shown, as Python itself would show it
            traceback.print_exc(file=sys.stdout)
        finally:
            signal.alarm(0)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
