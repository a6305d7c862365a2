"""MySQL over TLS and over a socket: every driver of the fleet refuses a server it does not know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from shared.cdc.wire import Wire
from shared.endpoints import MySQLSettings
from shared.errors import Unavailable
from shared.mysql.connection import connect
from shared.settings_cdc import cdc_fields
from tests.own_certificates import authority
from tests.own_mysql import OwnMySQL


@pytest.fixture(scope="module")
def server(servers: Mapping[str, str]) -> Iterator[OwnMySQL]:
    """It knows its own certificate, and wants one of every client that says X509."""
    found = OwnMySQL(servers, {})
    try:
        found.prepare()
        ours = authority(found.folder, "ours")
        found.start(
            ssl_ca=found.inside(ours),
            ssl_cert=found.inside(found.folder / "ours-cert.pem"),
            ssl_key=found.inside(found.folder / "ours-key.pem"),
        )
        found.run(
            "CREATE USER 'known'@'127.0.0.1' IDENTIFIED BY 'own' REQUIRE X509",
            "GRANT SELECT ON app.* TO 'known'@'127.0.0.1'",
        )
        yield found
    finally:
        found.remove()


def trusting(server: OwnMySQL, **changed: str | None) -> MySQLSettings:
    return server.where.model_copy(
        update={"ssl_ca": str(server.folder / "ours-ca.pem"), **changed}
    )


def cipher(where: MySQLSettings) -> str:
    with closing(connect(where)) as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        return str(cursor.fetchone()[1])


def test_the_books_connection_is_encrypted_and_knows_its_server(
    server: OwnMySQL, tmp_path: Path
) -> None:
    assert cipher(trusting(server))
    with pytest.raises(Unavailable):
        connect(trusting(server, ssl_ca=str(authority(tmp_path, "another"))))


def test_a_certificate_of_ours_opens_what_wants_one(server: OwnMySQL) -> None:
    mine = {
        "user": "known",
        "ssl_cert": str(server.folder / "ours-cert.pem"),
        "ssl_key": str(server.folder / "ours-key.pem"),
    }
    assert cipher(trusting(server, **mine))
    with closing(Wire(trusting(server, **mine))) as wire:
        assert wire.ask("SELECT 1") == [(1,)]
    with pytest.raises(Unavailable):
        connect(trusting(server, user="known"))
    with pytest.raises(Unavailable):
        Wire(trusting(server, user="known"))


def test_the_audit_log_elsewhere_has_the_same_files(server: OwnMySQL, tmp_path: Path) -> None:
    values = {
        "FLEET_AUDIT_URL": f"mysql://root:own@127.0.0.1:{server.where.port}/app",
        "MYSQL_ATTR_SSL_CA": str(server.folder / "ours-ca.pem"),
        "MYSQL_ATTR_SSL_CERT": str(server.folder / "ours-cert.pem"),
        "MYSQL_ATTR_SSL_KEY": str(server.folder / "ours-key.pem"),
    }
    assert cipher(cdc_fields(values, "audit")["audit_database"])
    strange = values | {"MYSQL_ATTR_SSL_CA": str(authority(tmp_path, "another"))}
    with pytest.raises(Unavailable):
        connect(cdc_fields(strange, "audit")["audit_database"])


def test_a_socket_serves_the_books_and_the_reading_of_the_log(server: OwnMySQL) -> None:
    # The administrator of these servers comes by TCP only; the socket's is another one.
    server.run("CREATE USER 'local'@'localhost' IDENTIFIED BY 'own'")
    where = server.where.model_copy(
        update={"socket": str(server.folder / "sock"), "user": "local", "port": 1}
    )
    with closing(connect(where, "")) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT USER()")
        assert cursor.fetchone() == ("local@localhost",)
    with closing(Wire(where)) as wire:
        assert wire.ask("SELECT USER()") == [("local@localhost",)]
