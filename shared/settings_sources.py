"""Where settings come from, strongest first:

1. the environment of the process;
2. `fleet.laravel.json` beside the env file: what Laravel itself resolved (`php artisan
   fleet:export`), `{"format": 1, "values": {"REDIS_PREFIX": "...", ...}}` in the same names.
   It wins over the env file, because config files and `config:cache` may overrule that;
3. the env file, see `shared/dotenv.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from shared.dotenv import parse_dotenv
from shared.errors import SettingsError

EXPORT_FILE = "fleet.laravel.json"
EXPORT_FORMAT = 1

T = TypeVar("T")
Values = dict[str, str | None]  # None: written as `null`, which is not the same as not written

_LITERALS: dict[str, str | None] = {"null": None, "empty": "", "true": "true", "false": "false"}


class Merged(NamedTuple):
    """notes: where two sources disagree, names only. beside: the folder of the env file."""

    values: Values
    notes: tuple[str, ...]
    beside: Path = Path()


def merge(
    environ: Mapping[str, str], env_file: Path, secrets: Collection[str], refused: Collection[str]
) -> Merged:
    """All layers in one mapping.

    secrets: names that may also come as NAME_FILE. refused: names this role must not even hold.
    Raises SettingsError for a file that cannot be read or parsed.
    """
    file_layer = _with_secret_files(_env_file(env_file, environ), secrets, refused)
    export = env_file.parent / EXPORT_FILE
    export_layer = _without(_export(export), refused)
    own = _with_secret_files(dict(environ), secrets, refused)
    file_values = {name: literal(text) for name, text in file_layer.items()}
    own_values = {name: literal(text) for name, text in own.items()}
    notes = tuple(
        f"{name} in {env_file.name} differs from {EXPORT_FILE}, which wins: "
        "run `php artisan fleet:export` again or correct the line"
        for name, value in sorted(export_layer.items())
        if name in file_values and name not in own_values and file_values[name] != value
    )
    return Merged(file_values | export_layer | own_values, notes, env_file.parent)


def literal(text: str) -> str | None:
    """Laravel's `env()`: `null`, `empty`, `true`, `false`, also in parentheses; outer quotes go."""
    bare = text.lower()
    bare = bare[1:-1] if bare.startswith("(") and bare.endswith(")") else bare
    if bare in _LITERALS:
        return _LITERALS[bare]
    quoted = re.fullmatch(r"(['\"])(.*)\1", text, re.DOTALL)
    return quoted[2] if quoted else text


def _env_file(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        if "FLEET_ENV_FILE" in environ:
            raise SettingsError(f"FLEET_ENV_FILE={path}: no such file") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({type(error).__name__})") from None
    return parse_dotenv(text, environ)


def _export(path: Path) -> Values:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path}: cannot be read ({type(error).__name__}); run `php artisan fleet:export` again"
        ) from None
    values = document.get("values") if isinstance(document, dict) else None
    if not isinstance(values, dict) or document.get("format") != EXPORT_FORMAT:
        raise SettingsError(
            f"{path}: format {EXPORT_FORMAT} with `values` expected; run `php artisan fleet:export`"
        )
    return {str(name): _export_value(name, value, path) for name, value in values.items()}


def _export_value(name: object, value: object, path: Path) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise SettingsError(f"{path}: {name} must be text, a whole number, true, false or null")


def _with_secret_files(
    layer: dict[str, str], secrets: Collection[str], refused: Collection[str]
) -> dict[str, str]:
    """NAME_FILE read into NAME, within one layer. Files of refused names are not opened."""
    read = dict(layer)
    for name in secrets:
        path = read.get(f"{name}_FILE")
        if not path or name in refused:
            continue
        if read.get(name):
            raise SettingsError(f"{name} and {name}_FILE are both set: keep one of them")
        try:
            content = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"{name}_FILE={path}: cannot be read ({type(error).__name__})"
            ) from None
        read[name] = content.rstrip("\r\n")
    return _without(read, refused)


def _without(layer: Mapping[str, T], names: Iterable[str]) -> dict[str, T]:
    gone = set(names)
    return {name: value for name, value in layer.items() if name not in gone}
