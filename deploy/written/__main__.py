"""Writes what supervisors read, from the table of roles: `python -m deploy.written`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deploy.written import container, hosts, kubernetes

DEPLOY = Path(__file__).resolve().parents[1]


def files() -> Mapping[Path, str]:
    """Every written file and its text."""
    found = {DEPLOY / "systemd" / name: text for name, text in hosts.units().items()}
    found[DEPLOY / "supervisor" / "tradefleet.conf"] = hosts.programs()
    found |= {DEPLOY / "kubernetes" / name: text for name, text in kubernetes.files().items()}
    found[DEPLOY / "compose.production.yaml"] = container.compose()
    return found


def main() -> None:
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
