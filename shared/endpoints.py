"""Where servers are: parsed from Laravel's parts and URLs, without a connection.

A URL overrides the single parts, as in Laravel's ConfigurationUrlParser. Passwords are SecretStr:
no repr, log line or validation error shows them. All errors are SettingsError and name the setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr

from shared.errors import SettingsError

_FROZEN = ConfigDict(frozen=True, hide_input_in_errors=True)
_REDIS_SCHEMES = {"redis": False, "tcp": False, "rediss": True, "tls": True}
_SEVERAL = {  # scheme -> (TLS, a cluster)
    "redis+sentinel": (False, False),
    "rediss+sentinel": (True, False),
    "redis+cluster": (False, True),
    "rediss+cluster": (True, True),
}
MYSQL_TLS = ("MYSQL_ATTR_SSL_CA", "MYSQL_ATTR_SSL_CERT", "MYSQL_ATTR_SSL_KEY")
_MYSQL_SCHEMES = frozenset({"mysql", "mysql2", "mariadb"})
MAX_PORT = 65_535
REDIS_PORT = 6379
SENTINEL_PORT = 26_379

Address = tuple[str, int]


class Certificates(BaseModel):
    """Files for TLS. ca None: the authorities that the machine knows. certificate and key: of this
    client, where the server asks for one.
    """

    model_config = _FROZEN

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


class Sentinels(BaseModel):
    """Who knows where the primary of `service` is now. The login is the sentinels' own."""

    model_config = _FROZEN

    addresses: tuple[Address, ...]
    service: str
    username: str | None = None
    password: SecretStr | None = None


class RedisSettings(BaseModel):
    """One Redis and its database. socket or sentinels set: host and port do not count. nodes: of a
    Redis Cluster, which has one database; any of them tells where the others are.
    """

    model_config = _FROZEN

    host: str = "127.0.0.1"
    port: int = REDIS_PORT
    socket: str | None = None
    sentinels: Sentinels | None = None
    nodes: tuple[Address, ...] = ()
    tls: bool = False
    certificates: Certificates = Certificates()
    username: str | None = None
    password: SecretStr | None = None
    database: int = 0

    @property
    def server(self) -> str:
        """The server without database and password: for messages and for comparing."""
        if self.sentinels:
            return f"{self.sentinels.service} of {_addresses_text(self.sentinels.addresses)}"
        if self.nodes:
            return f"cluster {_addresses_text(self.nodes)}"
        return self.socket or f"{self.host}:{self.port}"

    @property
    def is_cluster(self) -> bool:
        return bool(self.nodes)

    def at(self, database: int) -> RedisSettings:
        return self.model_copy(update={"database": database})

    def url(self) -> SecretStr:
        """For libraries that take nothing else (Celery, RedBeat), as kombu spells it. What a URL
        cannot say (service, certificates) goes beside it.
        """
        login = ""
        if self.username or self.password:
            secret = self.password.get_secret_value() if self.password else ""
            login = f"{quote(self.username or '', safe='')}:{quote(secret, safe='')}@"
        if self.sentinels:
            found = (_address_text(one) for one in self.sentinels.addresses)
            return SecretStr(";".join(f"sentinel://{login}{at}/{self.database}" for at in found))
        if self.socket:
            return SecretStr(f"redis+socket://{login}{self.socket}?virtual_host={self.database}")
        scheme = "rediss" if self.tls else "redis"
        at = _address_text((self.host, self.port))
        return SecretStr(f"{scheme}://{login}{at}/{self.database}")


class MySQLSettings(BaseModel):
    """The one MySQL or MariaDB server: Laravel's schema and ours on it."""

    model_config = _FROZEN

    host: str
    port: int
    socket: str | None
    user: str
    password: SecretStr
    laravel_database: str
    database: str  # FLEET_DB_DATABASE: where our tables are
    ssl_ca: str | None
    ssl_cert: str | None = None
    ssl_key: str | None = None

    @property
    def server(self) -> str:
        return self.socket or f"{self.host}:{self.port}"


def whole(name: str, text: str, low: int, high: int) -> int:
    """A whole number between two bounds, both included."""
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise SettingsError(f"{name}: write a whole number from {low} to {high}")
    return int(text)


def redis_from_parts(values: Mapping[str, str | None], database: str) -> RedisSettings:
    """Laravel's own Redis. database: the name of the setting that holds its number.

    REDIS_SENTINEL_*: as Laravel's packages for Sentinel write them. FLEET_REDIS_CLUSTER: that
    REDIS_HOST is a node of a cluster, which stands in Laravel's config files only.
    """
    default = "0" if database == "REDIS_DB" else "1"
    password = values.get("REDIS_PASSWORD")
    parts = _redis_host(values.get("REDIS_HOST") or "127.0.0.1") | {
        "username": values.get("REDIS_USERNAME") or None,
        "password": SecretStr(password) if password else None,
        "database": whole(database, values.get(database) or default, 0, MAX_PORT),
        "sentinels": _sentinels(values),
        "certificates": certificates(values),
    }
    if not parts.get("port"):
        port = values.get("REDIS_PORT") or "6379"
        parts["port"] = whole("REDIS_PORT", port, 0 if parts.get("socket") else 1, MAX_PORT)
    if scheme := values.get("REDIS_SCHEME"):
        if scheme not in _REDIS_SCHEMES:
            raise SettingsError("REDIS_SCHEME: write tcp or tls")
        parts["tls"] = _REDIS_SCHEMES[scheme] or parts.get("tls", False)
    url = values.get("REDIS_URL")
    if url:
        parts |= _redis_url("REDIS_URL", url)
    if (values.get("FLEET_REDIS_CLUSTER") or "0") not in {"0", "false"}:
        parts |= {"nodes": ((parts["host"], parts["port"]),), "database": 0}
    return RedisSettings.model_validate(parts)


def redis_from_url(name: str, url: str, files: Certificates | None = None) -> RedisSettings:
    """`redis://`, `rediss://` (also `tcp://`, `tls://`), `unix:///path?db=2`,
    `redis+sentinel://user:password@host:26379,host:26379/service/0` or
    `redis+cluster://user:password@host:6379,host:6379`, both also with `rediss+`.

    files: for TLS.
    """
    parts = _redis_url(name, url)
    return RedisSettings.model_validate(parts | {"certificates": files or Certificates()})


def certificates(values: Mapping[str, str | None]) -> Certificates:
    """For TLS to any Redis: a private authority, and our own certificate."""
    found = Certificates(
        ca=values.get("FLEET_REDIS_CA") or None,
        certificate=values.get("FLEET_REDIS_CERT") or None,
        key=values.get("FLEET_REDIS_KEY") or None,
    )
    if bool(found.certificate) != bool(found.key):
        raise SettingsError("FLEET_REDIS_CERT and FLEET_REDIS_KEY: write both, or neither")
    return found


def _sentinels(values: Mapping[str, str | None]) -> Sentinels | None:
    hosts = values.get("REDIS_SENTINEL_HOST")
    if not hosts:
        return None
    port = whole(
        "REDIS_SENTINEL_PORT", values.get("REDIS_SENTINEL_PORT") or str(SENTINEL_PORT), 1, MAX_PORT
    )
    password = values.get("REDIS_SENTINEL_PASSWORD")
    return Sentinels(
        addresses=_addresses("REDIS_SENTINEL_HOST", hosts, port),
        service=values.get("REDIS_SENTINEL_SERVICE") or "mymaster",
        username=values.get("REDIS_SENTINEL_USERNAME") or None,
        password=SecretStr(password) if password else None,
    )


def _addresses(name: str, text: str, port: int) -> tuple[Address, ...]:
    """`host:port,host,[::1]:port`."""
    found = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        url = _split(name, f"//{item}")
        if not url.hostname:
            raise SettingsError(f"{name}: write host:port, with commas between several")
        found.append((url.hostname, _port(name, url) or port))
    if not found:
        raise SettingsError(f"{name}: write host:port, with commas between several")
    return tuple(found)


def _address_text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _addresses_text(addresses: tuple[Address, ...]) -> str:
    return ",".join(map(_address_text, addresses))


def mysql_from_values(values: Mapping[str, str | None]) -> MySQLSettings:
    """Laravel's database connection; what its versions default differently must be written."""
    connection = (values.get("DB_CONNECTION") or "mysql").lower()
    if connection not in _MYSQL_SCHEMES:
        raise SettingsError(
            f"DB_CONNECTION={connection}: the fleet works on MySQL or MariaDB; "
            "write DB_CONNECTION=mysql and the DB_* lines of that server"
        )
    parts: dict[str, str | None] = {
        "host": values.get("DB_HOST") or "127.0.0.1",
        "port": values.get("DB_PORT") or "3306",
        "socket": values.get("DB_SOCKET") or None,
        "user": values.get("DB_USERNAME"),
        "password": values.get("DB_PASSWORD") or "",
        "laravel_database": values.get("DB_DATABASE"),
    }
    parts |= _mysql_url(values)
    for key, name in (("laravel_database", "DB_DATABASE"), ("user", "DB_USERNAME")):
        if not parts[key]:
            raise SettingsError(
                f"{name} is not set, and its default differs between Laravel's versions: "
                f"write the line {name}=... of the Laravel application"
            )
    own = values.get("FLEET_DB_DATABASE") or parts["laravel_database"]
    return MySQLSettings.model_validate(
        parts
        | {
            "port": whole("DB_PORT", parts["port"] or "", 1, MAX_PORT),
            "database": own,
            "ssl_ca": values.get("MYSQL_ATTR_SSL_CA") or None,
            "ssl_cert": values.get("MYSQL_ATTR_SSL_CERT") or None,
            "ssl_key": values.get("MYSQL_ATTR_SSL_KEY") or None,
        }
    )


def _mysql_url(values: Mapping[str, str | None]) -> dict[str, str | None]:
    urls = {name: text for name in ("DB_URL", "DATABASE_URL") if (text := values.get(name))}
    if not urls:
        return {}
    if len(set(urls.values())) > 1:
        raise SettingsError("DB_URL and DATABASE_URL differ: keep the one your Laravel reads")
    name, first = next(iter(urls.items()))
    url = _split(name, first)
    if url.scheme not in _MYSQL_SCHEMES:
        raise SettingsError(f"{name}: write mysql://user:password@host:3306/database")
    parts: dict[str, str | None] = {
        "host": url.hostname,
        "port": str(_port(name, url) or "") or None,
        "user": unquote(url.username) if url.username else None,
        "password": unquote(url.password) if url.password else None,
        "laravel_database": unquote(url.path.lstrip("/")) or None,
        "socket": next(iter(parse_qs(url.query).get("unix_socket", ())), None),
    }
    return {key: value for key, value in parts.items() if value is not None}


def _redis_host(host: str) -> dict[str, object]:
    """REDIS_HOST may carry a scheme, or be the path of a socket."""
    if host.startswith(("/", "unix://")):
        return {"socket": host.removeprefix("unix://")}
    if "://" not in host:
        return {"host": host}
    url = _split("REDIS_HOST", host)
    if url.scheme not in _REDIS_SCHEMES or not url.hostname:
        raise SettingsError("REDIS_HOST: write a name, tls://name or the path of a socket")
    port = _port("REDIS_HOST", url)
    found: dict[str, object] = {"host": url.hostname, "tls": _REDIS_SCHEMES[url.scheme]}
    return found | ({"port": port} if port else {})


def _redis_url(name: str, text: str) -> dict[str, object]:
    url = _split(name, text)
    if url.scheme in _SEVERAL:
        return _redis_of_several(name, url)
    found = _login(url.netloc)
    if url.scheme == "unix":
        database = (parse_qs(url.query).get("db") or ["0"])[0]
        return found | {"socket": url.path, "database": whole(name, database, 0, MAX_PORT)}
    if url.scheme not in _REDIS_SCHEMES or not url.hostname:
        raise SettingsError(f"{name}: write redis://user:password@host:6379/0 or rediss://...")
    found |= {"host": url.hostname, "tls": _REDIS_SCHEMES[url.scheme], "socket": None}
    if port := _port(name, url):
        found["port"] = port
    if path := url.path.strip("/"):
        found["database"] = whole(f"{name} (database after the slash)", path, 0, MAX_PORT)
    return found


def _redis_of_several(name: str, url: SplitResult) -> dict[str, object]:
    tls, cluster = _SEVERAL[url.scheme]
    found = _login(url.netloc) | {"tls": tls, "socket": None}
    hosts = url.netloc.rpartition("@")[2]
    if cluster:
        if url.path.strip("/") not in {"", "0"}:
            raise SettingsError(f"{name}: a Redis Cluster has no database but 0")
        return found | {"nodes": _addresses(name, hosts, REDIS_PORT), "database": 0}
    service, _, database = url.path.strip("/").partition("/")
    if not service:
        raise SettingsError(
            f"{name}: write redis+sentinel://user:password@host:26379,host:26379/service/0"
        )
    asked = parse_qs(url.query)
    password = asked.get("sentinel_password", [""])[0]
    sentinels = Sentinels(
        addresses=_addresses(name, hosts, SENTINEL_PORT),
        service=unquote(service),
        username=asked.get("sentinel_username", [""])[0] or None,
        password=SecretStr(password) if password else None,
    )
    number = whole(f"{name} (database after the service)", database or "0", 0, MAX_PORT)
    return found | {"sentinels": sentinels, "database": number}


def _login(netloc: str) -> dict[str, object]:
    """`user:password@` in front of one host or of several."""
    user, at, _ = netloc.rpartition("@")
    username, _, password = user.partition(":")
    found: dict[str, object] = {}
    if at and username:
        found["username"] = unquote(username)
    if at and password:
        found["password"] = SecretStr(unquote(password))
    return found


def _split(name: str, text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        raise SettingsError(f"{name}: not a URL; write scheme://user:password@host/name") from None


def _port(name: str, url: SplitResult) -> int | None:
    try:
        return url.port
    except ValueError:
        raise SettingsError(
            f"{name}: the port is no number; write % / @ : # in a password as %25 %2F %40 %3A %23"
        ) from None
