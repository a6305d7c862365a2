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
_MYSQL_SCHEMES = frozenset({"mysql", "mysql2", "mariadb"})
MAX_PORT = 65_535


class RedisSettings(BaseModel):
    """One Redis server and database; socket set means host and port do not count."""

    model_config = _FROZEN

    host: str = "127.0.0.1"
    port: int = 6379
    socket: str | None = None
    tls: bool = False
    username: str | None = None
    password: SecretStr | None = None
    database: int = 0

    @property
    def server(self) -> str:
        """The server without database and password: for messages and for comparing."""
        return self.socket or f"{self.host}:{self.port}"

    def at(self, database: int) -> RedisSettings:
        return self.model_copy(update={"database": database})

    def url(self) -> SecretStr:
        """For libraries that take nothing else (Celery, RedBeat)."""
        login = ""
        if self.username or self.password:
            secret = self.password.get_secret_value() if self.password else ""
            login = f"{quote(self.username or '', safe='')}:{quote(secret, safe='')}@"
        if self.socket:
            return SecretStr(f"redis+socket://{login}{self.socket}?virtual_host={self.database}")
        scheme = "rediss" if self.tls else "redis"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return SecretStr(f"{scheme}://{login}{host}:{self.port}/{self.database}")


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

    @property
    def server(self) -> str:
        return self.socket or f"{self.host}:{self.port}"


def whole(name: str, text: str, low: int, high: int) -> int:
    """A whole number between two bounds, both included."""
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise SettingsError(f"{name}: write a whole number from {low} to {high}")
    return int(text)


def redis_from_parts(values: Mapping[str, str | None], database: str) -> RedisSettings:
    """Laravel's own Redis. database: the name of the setting that holds its number."""
    default = "0" if database == "REDIS_DB" else "1"
    password = values.get("REDIS_PASSWORD")
    parts = _redis_host(values.get("REDIS_HOST") or "127.0.0.1") | {
        "username": values.get("REDIS_USERNAME") or None,
        "password": SecretStr(password) if password else None,
        "database": whole(database, values.get(database) or default, 0, MAX_PORT),
    }
    if not parts.get("port"):
        port = values.get("REDIS_PORT") or "6379"
        parts["port"] = whole("REDIS_PORT", port, 0 if parts.get("socket") else 1, MAX_PORT)
    url = values.get("REDIS_URL")
    if url:
        parts |= _redis_url("REDIS_URL", url)
    return RedisSettings.model_validate(parts)


def redis_from_url(name: str, url: str) -> RedisSettings:
    """`redis://`, `rediss://` (also `tcp://`, `tls://`) or `unix:///path?db=2`."""
    return RedisSettings.model_validate(_redis_url(name, url))


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
    found: dict[str, object] = {}
    if url.username:
        found["username"] = unquote(url.username)
    if url.password:
        found["password"] = SecretStr(unquote(url.password))
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
