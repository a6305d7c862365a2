"""Redis with the settings that the queues and streams of a trading desk want."""

from __future__ import annotations

import socket

from instances import HOST, Instance

USER = "redis"
NAME = "redis"
ASK_SECONDS = 2.0
ANSWERS = b"+OK\r\n+PONG\r\n"


def prepare(instance: Instance) -> None:
    """A new data folder is all that Redis needs."""
    instance.make_folder(instance.server_folder(NAME), USER)


def configure(instance: Instance) -> None:
    text = f"""# Written at every start.
bind {HOST}
port {instance.ports[NAME]}
dir {instance.server_inside(NAME)}
requirepass {instance.secrets["redis"]}
appendonly yes
appendfsync everysec
maxmemory 512mb
maxmemory-policy noeviction
daemonize no
databases 16
"""
    instance.write(instance.server_folder(NAME) / "redis.conf", text, USER)


def command(instance: Instance) -> list[str]:
    return ["redis-server", f"{instance.server_inside(NAME)}/redis.conf"]


def ready(instance: Instance) -> bool:
    """PING is refused while the append-only file is loading, so PONG means all data are there."""
    try:
        with socket.create_connection((HOST, instance.ports[NAME]), ASK_SECONDS) as connection:
            password = instance.secrets["redis"]
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while len(answer) < len(ANSWERS):
                received = connection.recv(4096)
                if not received or not ANSWERS.startswith(answer + received):
                    return False
                answer += received
    except OSError:
        return False
    return answer == ANSWERS


def complete(_instance: Instance) -> None:
    """Nothing to create."""
