"""TimescaleDB over TLS: FLEET_TIMESCALE_URL with libpq's own words."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.errors import Unavailable
from shared.settings import Settings
from shared.timescale.connection import connect
from tests.own_certificates import authority
from tests.redis_topologies import HOST, free_ports
from tests.waiting import eventually

BIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WORD = "own"


class OwnPostgres:
    """Only hostssl in its pg_hba.conf; nothing of it is left."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._inside = f"/srv/tradefleet/own-{uuid.uuid4().hex[:10]}"
        self.folder = Path(root + self._inside)
        (self.port,) = free_ports(1)
        (self._bin,) = (Path(root) / "usr/lib/postgresql").glob("*/bin")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir()
        owner = self._owner()
        os.chown(self.folder, *owner)
        (self.folder / "word").write_text(WORD)
        made = subprocess.run(
            self._as_postgres("initdb", f"--pgdata={self._inside}/data", "--username=fleet",
                              "--auth=scram-sha-256", f"--pwfile={self._inside}/word", "--no-sync"),
            capture_output=True, check=False, env={"PATH": BIN_PATH},
        )  # fmt: skip
        assert made.returncode == 0, made.stderr.decode()[-1000:]
        data = self.folder / "data"
        authority(data, "ours")
        for path in data.glob("ours-*.pem"):
            path.chmod(0o600)
            os.chown(path, *owner)
        (data / "ours-ca.pem").chmod(0o644)
        (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        options = {
            "port": self.port, "listen_addresses": HOST, "unix_socket_directories": "",
            "dynamic_shared_memory_type": "mmap", "shared_buffers": "16MB", "fsync": "off",
            "ssl": "on", "ssl_cert_file": "ours-cert.pem", "ssl_key_file": "ours-key.pem",
        }  # fmt: skip
        words = [word for name in options for word in ("-c", f"{name}={options[name]}")]
        self._process = subprocess.Popen(
            self._as_postgres("postgres", "-D", f"{self._inside}/data", *words),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": BIN_PATH},
        )  # fmt: skip

    def remove(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, ca: Path | None = None, host: str = HOST, mode: str = "verify-full") -> str:
        root = ca or self.folder / "data" / "ours-ca.pem"
        login = f"postgresql://fleet:{WORD}@{host}:{self.port}/postgres"
        return f"{login}?sslmode={mode}" + (f"&sslrootcert={root}" if mode != "disable" else "")

    def _owner(self) -> tuple[int, int]:
        lines = (Path(self._root) / "etc/passwd").read_text().splitlines()
        found = next(line.split(":") for line in lines if line.startswith("postgres:"))
        return int(found[2]), int(found[3])

    def _as_postgres(self, program: str, *words: str) -> list[str]:
        path = "/" + str((self._bin / program).relative_to(self._root))
        chroot = ["chroot", "--userspec=postgres:postgres", self._root, "env", "LC_ALL=C.UTF-8"]
        return [*chroot, f"--chdir={self._inside}", "setpriv", "--pdeathsig", "INT", path, *words]


@pytest.fixture(scope="module")
def server(servers: Mapping[str, str]) -> Iterator[OwnPostgres]:
    found = OwnPostgres(servers["SERVERS_ROOT"])
    try:
        found.start()
        yield found
    finally:
        found.remove()


def test_the_server_is_known_by_its_certificate_and_name(
    server: OwnPostgres, settings: Settings, tmp_path: Path
) -> None:
    def opened(url: str) -> bool:
        with connect(settings.model_copy(update={"timescale_url": SecretStr(url)})) as connection:
            asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            return connection.execute(asked).fetchone() == (True,)

    def up() -> bool:
        try:
            return opened(server.url())
        except Unavailable:
            return False

    eventually(up, 20)
    for url in (
        server.url(authority(tmp_path, "another")),
        server.url(host="localhost"),  # the certificate is for 127.0.0.1
        server.url(mode="disable"),
    ):
        with pytest.raises(Unavailable):
            opened(url)
