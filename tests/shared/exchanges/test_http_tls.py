"""Who is talked to over TLS: the venue itself, and nobody else."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.exchanges.http import Http, Lost
from tests.shared.exchanges.test_http import HELLO, listening


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(a server's, that of a client who trusts it alone)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = (
        [x509.IPAddress(ip_address(name))] if name[0].isdigit() else [x509.DNSName(name)]
    )
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = folder / "both.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


@pytest.mark.parametrize(
    ("name", "trusted", "answered"),
    [("127.0.0.1", True, True), ("127.0.0.1", False, False), ("elsewhere.test", True, False)],
)
def test_only_the_venue_itself_is_talked_to(
    tmp_path: Path, name: str, *, trusted: bool, answered: bool
) -> None:
    theirs, ours = certificate(tmp_path, name)

    async def inside() -> None:
        async with listening([HELLO], tls=theirs) as script:
            client = Http(None, 1, ours if trusted else None)
            asked = client.ask("GET", script.url().replace("http:", "https:"), None, None)
            if answered:
                assert (await asked).body == b"hello"
            else:
                with pytest.raises(Lost, match="SSLCertVerificationError") as caught:
                    await asked
                assert not caught.value.sent
                assert script.asked == []
            await client.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(inside())
