"""Redis over TLS with a private authority, over a socket, and as a user of its own: for real."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr
from redis.exceptions import NoPermissionError

from shared.endpoints import Certificates, RedisSettings
from shared.redis_clients import async_client, client
from tests.own_certificates import authority
from tests.redis_topologies import HOST, Server, free_ports, root

WORD = "a word/of:its@own"


class Guarded:
    """A Redis that speaks TLS to known clients only, has a socket, and one user `desk`."""

    def __init__(self, inside_of: str) -> None:
        self.folder = Path(inside_of) / "tmp" / f"guarded-{uuid.uuid4().hex[:8]}"
        self.folder.mkdir()
        self.ca = authority(self.folder, "ours")
        inside = f"/tmp/{self.folder.name}"  # noqa: S108 - the root's own
        plain, self.tls_port = free_ports(2)
        self.server = Server(
            inside_of, plain,
            [
                "--port", str(plain), "--bind", HOST, "--save", "", "--dir", inside,
                "--tls-port", str(self.tls_port), "--tls-auth-clients", "yes",
                "--tls-ca-cert-file", f"{inside}/ours-ca.pem",
                "--tls-cert-file", f"{inside}/ours-cert.pem",
                "--tls-key-file", f"{inside}/ours-key.pem",
                "--unixsocket", f"{inside}/redis.sock", "--unixsocketperm", "777",
            ],
        )  # fmt: skip
        self.socket = str(self.folder / "redis.sock")

    def start(self) -> None:
        self.server.start()
        rights = "~desk:* +ping +set +get +hello +select +client|setname +client|setinfo"
        self.server.say("ACL", "SETUSER", "desk", "on", f">{WORD}", *rights.split())

    def where(self, **changed: object) -> RedisSettings:
        files = Certificates(
            ca=str(self.ca),
            certificate=str(self.folder / "ours-cert.pem"),
            key=str(self.folder / "ours-key.pem"),
        )
        found = RedisSettings(
            host=HOST, port=self.tls_port, tls=True, certificates=files, username="desk",
            password=SecretStr(WORD), database=3,
        )  # fmt: skip
        return found.model_copy(update=changed)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    found = Guarded(root())
    try:
        found.start()
        yield found
    finally:
        found.server.kill()
        shutil.rmtree(found.folder, ignore_errors=True)


def answers(where: RedisSettings) -> bytes | None:
    with closing(client(where, "tests", 5.0)) as found:
        found.set("desk:one", "1")
        told: bytes | None = found.get("desk:one")  # type: ignore[assignment]
        return told


def test_tls_with_a_private_authority_and_our_own_certificate(guarded: Guarded) -> None:
    assert answers(guarded.where()) == b"1"


def test_another_authority_another_name_and_no_certificate_are_refused(
    guarded: Guarded, tmp_path: Path
) -> None:
    known = guarded.where().certificates
    strange = known.model_copy(update={"ca": str(authority(tmp_path, "another"))})
    nobody = Certificates(ca=known.ca)
    for changed in (
        {"certificates": strange},
        {"certificates": Certificates()},  # only authorities that the machine knows
        {"host": "localhost"},  # the certificate is for 127.0.0.1
        {"certificates": nobody},
        {"tls": False},
    ):
        with pytest.raises(redis.RedisError):
            answers(guarded.where(**changed))


def test_a_socket_and_a_user_of_its_own(guarded: Guarded) -> None:
    where = guarded.where(socket=guarded.socket, tls=False)
    assert answers(where) == b"1"
    with closing(client(where, "tests", 5.0)) as found, pytest.raises(NoPermissionError):
        found.get("of:somebody:else")
    with pytest.raises(redis.AuthenticationError):
        answers(where.model_copy(update={"password": SecretStr("wrong")}))


@pytest.mark.parametrize("socket", [False, True])
def test_the_client_of_an_event_loop_goes_the_same_ways(guarded: Guarded, *, socket: bool) -> None:
    where = guarded.where(socket=guarded.socket, tls=False) if socket else guarded.where()

    async def ask() -> object:
        found = async_client(where, "tests", None)
        try:
            return await found.get("desk:none")
        finally:
            await found.aclose()

    assert asyncio.run(ask()) is None
