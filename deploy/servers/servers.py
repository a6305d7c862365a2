"""Real servers for a desk: `servers.py start|stop|status|restart|php|path|wipe|prerequisites`,
and `servers.py tools` for its tests.

SERVERS chooses the set: mariadb (default), mysql or docker. Runs on a bare machine's own
python3: standard library only.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import compose
import desk
from flavours import DOCKER, FLAVOURS, MARIADB, TOOLS, Flavour
from instances import SERVER_NAMES
from machine import ServersError, install_prerequisites, say
from roots import ensure_root

PATH_NAMES = ("root", "instance", "aof", "redis", "binlog", "mysql", "timescale", "log", "app")
INTERRUPTED = 130
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: list[str]) -> int:
    for number in END_SIGNALS:
        # What the caller has us ignore (nohup, a background job) stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        return _run(_parse(arguments))
    except KeyboardInterrupt:
        say("interrupted; nothing is left running or mounted by this command")
        return INTERRUPTED
    except (ServersError, subprocess.TimeoutExpired) as error:
        say(str(error))
        return 1


def _interrupt(_number: int, _frame: object) -> None:
    """A polite kill is cleaned up after like Ctrl-C; a second one does not stop the cleaning."""
    for number in END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="servers.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("start", "stop"):
        names = commands.add_parser(name).add_argument("names", nargs="*", metavar="server")
        names.help = f"some of {', '.join(SERVER_NAMES)}; default all"
    commands.add_parser("status")
    restart = commands.add_parser("restart")
    restart.add_argument("name", choices=SERVER_NAMES)
    restart.add_argument("--kill", action="store_true", help="SIGKILL instead of SIGTERM")
    commands.add_parser("php", help="run PHP in the application's folder")
    commands.add_parser("path").add_argument("name", choices=PATH_NAMES)
    commands.add_parser("wipe", help="stop and delete the data")
    commands.add_parser("prerequisites", help="install what set-up needs on this machine")
    commands.add_parser("tools", help="the root with Prometheus and Chromium for the tests")
    if arguments[:1] == ["php"]:
        # PHP's own options (-r, -m) are not ours to read.
        return argparse.Namespace(command="php", arguments=list(arguments[1:]))
    options = parser.parse_args(arguments)
    unknown = set(getattr(options, "names", [])) - set(SERVER_NAMES)
    if unknown:
        parser.error(f"no such server: {', '.join(sorted(unknown))}")
    return options


def _run(options: argparse.Namespace) -> int:
    if options.command == "prerequisites":
        install_prerequisites()
        return 0
    if options.command == "tools":
        _tools()
        return 0
    chosen = os.environ.get("SERVERS") or MARIADB.name
    if chosen == DOCKER:
        return compose.run(options)
    if chosen not in FLAVOURS:
        raise ServersError(f"SERVERS={chosen} is not one of {', '.join([*FLAVOURS, DOCKER])}")
    return _run_in_root(FLAVOURS[chosen], options)


def _tools() -> None:
    """Whatever the servers are, and before there are any."""
    if os.geteuid() != 0:
        say("not root: the tests look for prometheus, promtool and chromium on the PATH")
        return
    install_prerequisites()
    print(ensure_root(TOOLS))


def _run_in_root(flavour: Flavour, options: argparse.Namespace) -> int:
    actions: dict[str, Callable[[], int | None]] = {
        "start": lambda: desk.start(flavour, options.names),
        "stop": lambda: desk.stop_servers(flavour, options.names),
        "restart": lambda: desk.restart(flavour, options.name, kill=options.kill),
        "status": lambda: desk.status(flavour),
        "php": lambda: desk.php(flavour, options.arguments),
        "path": lambda: print(desk.paths(flavour)[options.name]),
        "wipe": lambda: desk.wipe(flavour),
    }
    return actions[options.command]() or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
