"""Compose for one machine in production: the image of deploy/container, servers elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.written.hosts import HEAD
from deploy.written.kubernetes import METRICS_PORT
from deploy.written.sizes import SIZES
from deploy.written.yaml import document
from workers.flower import DEFAULT_PORT
from workers.roles import ROLES

_HEAD = f"""\
# {HEAD}
# Needs in its environment: FLEET_VERSION (of the image), FLEET_SETTINGS (Laravel's .env, readable
# by the user 10001), FLEET_FLOWER_AUTH (user:password).
#   docker compose -f deploy/compose.production.yaml up -d --wait
# More nodes: --scale streams=2. Without a TimescaleDB: --scale timescale=0.
"""


def compose() -> str:
    """deploy/compose.production.yaml."""
    services = {"migrate": _migrate(), **{name: _service(name) for name in ROLES}}
    settings = {"file": "${FLEET_SETTINGS:?where is Laravel's .env?}"}
    return _HEAD + document(
        {"name": "tradefleet", "services": services, "secrets": {"settings": settings}}
    )


def _common() -> dict[str, Any]:
    return {
        "image": "tradefleet:${FLEET_VERSION:?which version?}",
        "environment": {"FLEET_ENV_FILE": "/run/secrets/settings"},
        "secrets": ["settings"],
        "init": True,
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - in the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "logging": {"driver": "json-file", "options": {"max-size": "50m", "max-file": "3"}},
    }


def _migrate() -> Mapping[str, Any]:
    return {**_common(), "command": ["migrate"], "healthcheck": {"disable": True}}


def _service(name: str) -> Mapping[str, Any]:
    found = _common()
    found["command"] = [name]
    found["restart"] = "unless-stopped"
    found["stop_grace_period"] = f"{ROLES[name].drain_seconds}s"
    found["mem_limit"] = f"{SIZES[name].memory}m"
    found["depends_on"] = {"migrate": {"condition": "service_completed_successfully"}}
    if name == "metrics":
        # The status page and Prometheus; others are reached by Prometheus in this network.
        found["environment"] |= {"FLEET_METRICS_HOST": "0.0.0.0"}  # noqa: S104
        found["ports"] = [f"127.0.0.1:{METRICS_PORT}:{METRICS_PORT}"]
    elif name == "flower":
        auth = "${FLEET_FLOWER_AUTH:?user:password of Flower}"
        found["environment"] |= {"FLEET_FLOWER_AUTH": auth}
        url = f"http://127.0.0.1:{DEFAULT_PORT}/healthcheck"
        code = f"import urllib.request as u; u.urlopen({url!r}, timeout=3)"
        found["healthcheck"] = {"test": ["CMD", "python", "-c", code]}
    else:
        found["environment"] |= {"FLEET_METRICS_HOST": "0.0.0.0"}  # noqa: S104
    return found
