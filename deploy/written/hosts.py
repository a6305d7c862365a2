"""Units for hosts: systemd, and supervisor as Forge and its like run it.

Both start `python -m workers.start ROLE`, stop with SIGTERM to the role's own process alone (its
children are its own to end) and kill after the role's drain time.
"""

from __future__ import annotations

from collections.abc import Mapping

from workers.roles import ROLES, Role

HEAD = "Written by `python -m deploy.written` from workers/roles.py: change that."
RELEASE = "/opt/tradefleet/current"
SETTINGS = "/etc/tradefleet/fleet.env"
RUN = "/run/tradefleet"
STATE = "/var/lib/tradefleet"

_UNIT = """\
# {head}
[Unit]
Description=Tradefleet {name}, node %i
Documentation=file:{release}/deploy/README.md
PartOf=tradefleet.target
After=network-online.target
Wants=network-online.target
# It is started again for as long as it takes: a server that is away is no reason to give up.
StartLimitIntervalSec=0

[Service]
Type=exec
User=tradefleet
Group=tradefleet
WorkingDirectory={release}
# {settings} is Laravel's .env or a link to it; the unit reads no secret itself.
Environment=FLEET_ENV_FILE={settings} FLEET_RUN_DIR={run} FLEET_SLOT=%i PYTHONUNBUFFERED=1
EnvironmentFile=-/etc/tradefleet/{name}.env
ExecStart={release}/.venv/bin/python -m workers.start {name}
# The role alone is told; whatever it left behind after {drain} s is killed with it.
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec={drain}
Restart=always
RestartSec=2
RuntimeDirectory=tradefleet
RuntimeDirectoryMode=0750
RuntimeDirectoryPreserve=yes
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=tradefleet.target
"""
_TARGET = """\
# {head}
# Node 1 of each role. More: `systemctl enable --now tradefleet-streams@2`. Without a TimescaleDB:
# `systemctl mask tradefleet-timescale@1`.
[Unit]
Description=Tradefleet
Documentation=file:{release}/deploy/README.md
Wants={wants}

[Install]
WantedBy=multi-user.target
"""
_PROGRAM = """\
[program:tradefleet-{name}]
process_name=%(program_name)s-%(process_num)d
command={release}/.venv/bin/python -m workers.start {name}
directory={release}
user=forge
numprocs=1
numprocs_start=1
environment=FLEET_ENV_FILE="{settings}",FLEET_RUN_DIR="{run}",\
FLEET_SLOT="%(process_num)d",PYTHONUNBUFFERED="1"
autostart=true
autorestart=true
startsecs=5
startretries=1000000
stopsignal=TERM
stopasgroup=false
killasgroup=true
stopwaitsecs={drain}
redirect_stderr=true
stdout_logfile={run}/{name}-%(process_num)d.log
stdout_logfile_maxbytes=50MB
stdout_logfile_backups=3
"""


def units() -> Mapping[str, str]:
    """File name -> text, of deploy/systemd."""
    found = {f"tradefleet-{name}@.service": _unit(name, role) for name, role in ROLES.items()}
    wants = " ".join(f"tradefleet-{name}@1.service" for name in ROLES)
    target = _TARGET.format(head=HEAD, release=RELEASE, wants=wants)
    return {**found, "tradefleet.target": target}


def _unit(name: str, role: Role) -> str:
    return _UNIT.format(
        head=HEAD, name=name, release=RELEASE, settings=SETTINGS, run=RUN, drain=role.drain_seconds
    )


def programs() -> str:
    """deploy/supervisor/tradefleet.conf."""
    head = (
        f"; {HEAD}\n"
        "; As Forge has it: the user forge runs the sites, and the fleet beside them. More nodes\n"
        f"; of a role: numprocs. First `install -d -o forge {STATE}`; ports and logs are there.\n\n"
    )
    return head + "\n".join(
        _PROGRAM.format(
            name=name, release=RELEASE, settings=SETTINGS, run=STATE, drain=role.drain_seconds
        )
        for name, role in ROLES.items()
    )
