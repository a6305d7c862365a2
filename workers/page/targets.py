"""What Prometheus shall scrape on this machine, as its `http_sd_configs` reads it: the processes
that wrote a port into FLEET_RUN_DIR and still live.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from workers.processes import identify

_NAME = re.compile(r"(?P<role>[\w-]+)\.(?P<pid>\d+)\.port")
_HOST = re.compile(r"(?P<name>[\w.-]+|\[[0-9a-fA-F:.]+\])(:\d+)?")
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound


class Target(NamedTuple):
    """A process and the port of its /metrics. A role's children have ports of their own."""

    role: str
    port: int


def living(run_dir: Path) -> Iterator[Target]:
    """By role and pid. A file that is being written this moment is found the next time."""
    for path in sorted(run_dir.glob("*.port")):
        named = _NAME.fullmatch(path.name)
        if named is None or identify(int(named["pid"])) is None:
            continue
        try:
            port = int(path.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            continue
        yield Target(named["role"].removesuffix("-child"), port)


def as_json(targets: Iterator[Target], metrics_host: str, asked_host: str) -> bytes:
    """metrics_host: FLEET_METRICS_HOST. asked_host: the Host header of who asks; it counts where
    the processes listen everywhere, because that is how they are reached from there.
    """
    host = f"[{metrics_host}]" if ":" in metrics_host else metrics_host
    if metrics_host in _EVERYWHERE:
        named = _HOST.fullmatch(asked_host)
        host = named["name"] if named else "127.0.0.1"
    return json.dumps(
        [{"targets": [f"{host}:{one.port}"], "labels": {"role": one.role}} for one in targets]
    ).encode()
