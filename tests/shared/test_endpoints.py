"""Where Redis is, beyond one host and port: sentinels, clusters, certificates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from shared.endpoints import RedisSettings, redis_from_parts, redis_from_url
from shared.errors import SettingsError
from shared.masking import Mask
from shared.settings import Settings, load

BASE = {"APP_NAME": "Desk", "DB_DATABASE": "desk", "DB_USERNAME": "desk", "REDIS_PREFIX": "desk_"}


def loaded(tmp_path: Path, role: str = "cli", **values: str) -> Settings:
    (tmp_path / ".env").touch()
    return load(role, {**BASE, **values, "FLEET_ENV_FILE": str(tmp_path / ".env")})


def parts(**values: str) -> RedisSettings:
    return redis_from_parts(values, "REDIS_DB")


def test_sentinels_as_laravels_packages_write_them() -> None:
    found = parts(
        REDIS_SENTINEL_HOST="a, b:5, [::1]", REDIS_SENTINEL_PORT="26380",
        REDIS_SENTINEL_SERVICE="desk", REDIS_SENTINEL_PASSWORD="theirs", REDIS_PASSWORD="ours",
        REDIS_DB="3",
    )  # fmt: skip
    assert found.sentinels
    assert found.sentinels.addresses == (("a", 26380), ("b", 5), ("::1", 26380))
    assert found.server == "desk of a:26380,b:5,[::1]:26380"
    assert found.url().get_secret_value().split(";")[:2] == [
        "sentinel://:ours@a:26380/3", "sentinel://:ours@b:5/3",
    ]  # fmt: skip
    assert "theirs" not in repr(found)


def test_sentinels_and_clusters_by_url() -> None:
    found = redis_from_url(
        "X", "rediss+sentinel://u:p%40@a,b:2/desk/4?sentinel_username=s&sentinel_password=w"
    )
    assert found.sentinels
    assert (found.tls, found.database, found.username) == (True, 4, "u")
    assert found.password
    assert found.password.get_secret_value() == "p@"
    assert found.sentinels.addresses == (("a", 26379), ("b", 2))
    assert (found.sentinels.service, found.sentinels.username) == ("desk", "s")
    cluster = redis_from_url("X", "redis+cluster://u:p@a,b:7000/0")
    assert (cluster.nodes, cluster.is_cluster) == ((("a", 6379), ("b", 7000)), True)
    assert cluster.server == "cluster a:6379,b:7000"


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:1", "redis+sentinel:///desk", "redis+sentinel://a/desk/x",
        "redis+cluster://a/1", "redis+cluster://", "redis+cluster://a:x", "rediss+other://a",
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="FLEET_X"):
        redis_from_url("FLEET_X", url)


@pytest.mark.parametrize(
    ("values", "tls"),
    [
        ({"REDIS_SCHEME": "tls"}, True),
        ({"REDIS_SCHEME": "tcp"}, False),
        ({"REDIS_SCHEME": "tcp", "REDIS_HOST": "tls://h"}, True),
        ({"REDIS_SCHEME": "tls", "REDIS_URL": "redis://h"}, False),
    ],
)
def test_laravels_scheme(values: Mapping[str, str], *, tls: bool) -> None:
    assert redis_from_parts(values, "REDIS_DB").tls == tls


def test_certificates_are_for_every_redis(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, FLEET_REDIS_CA="/ca", FLEET_REDIS_CERT="/c", FLEET_REDIS_KEY="/k",
        FLEET_STREAMS_REDIS_URL="rediss://s", FLEET_BROKER_URL="rediss://b",
    )  # fmt: skip
    files = {one.certificates for one in (found.redis, found.streams_redis, found.broker)}
    assert [(one.ca, one.certificate, one.key) for one in files] == [("/ca", "/c", "/k")]
    with pytest.raises(SettingsError, match="FLEET_REDIS_KEY"):
        loaded(tmp_path, FLEET_REDIS_CERT="/c")


def test_the_broker_is_no_cluster(tmp_path: Path) -> None:
    for values in (
        {"FLEET_REDIS_CLUSTER": "1"},
        {"FLEET_BROKER_URL": "redis+cluster://a"},
    ):
        with pytest.raises(SettingsError, match="FLEET_BROKER_URL=redis://"):
            loaded(tmp_path, **values)
    found = loaded(tmp_path, FLEET_REDIS_CLUSTER="1", FLEET_BROKER_URL="redis://b/2")
    assert found.streams_redis == found.redis
    assert found.redis.nodes == (("127.0.0.1", 6379),)


def test_a_sentinels_password_is_a_secret(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("hunter5\n")
    found = loaded(
        tmp_path, REDIS_SENTINEL_HOST="a", REDIS_SENTINEL_PASSWORD_FILE=str(tmp_path / "word")
    )
    assert found.redis.sentinels
    assert found.redis.sentinels.password
    assert found.redis.sentinels.password.get_secret_value() == "hunter5"
    assert "hunter5" not in repr(found)
    assert Mask.of(found).text("it is hunter5") == "it is ***"
