r"""A Laravel env file, read as vlucas/phpdotenv 5 reads it.

Supported: comments, `export NAME=value`, quoted names, single quotes (literal), double quotes with
`\" \\ \$ \n \r \t \f \v`, values over several lines in double quotes, `${NAME}` outside single
quotes from the environment or an earlier line (unknown ones stay as written), a `#` that begins a
comment even without a space before it. A bare name unsets. Refused, as there: text after a closing
quote, spaces without quotes, other escapes. Compared with the original over 10,000 generated files;
on purpose unlike it: a quote that is never closed is refused (there every later line silently
goes), a comment with `="` in it opens nothing, and short names may follow `export`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from shared.errors import SettingsError

_NAME = re.compile(r"[\w.]+")
_SINGLE = re.compile(r"'([^']*)'\s*(?:#.*)?", re.DOTALL)
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?', re.DOTALL)
_BARE = re.compile(r"([^\s#]*)\s*(?:#.*)?", re.DOTALL)
_ESCAPE_OR_NESTED = re.compile(r"\\(?P<escape>.)|\$\{(?P<name>[A-Za-z0-9_.]+)\}", re.DOTALL)
_NESTED = re.compile(r"\$\{(?P<name>[A-Za-z0-9_.]+)\}")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", '"': '"', "\\": "\\", "$": "$"}


def parse_dotenv(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Name to value in file order, nested names expanded; a later line of one name wins.

    Raises SettingsError with the line's number and name, never with the value.
    """
    values: dict[str, str] = {}
    for number, entry in _entries(text):
        name, separator, raw = (part.strip() for part in entry.partition("="))
        name = re.sub(r"\Aexport\s+", "", name)
        if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"":
            name = name[1:-1]
        if not _NAME.fullmatch(name):
            raise SettingsError(f"env file, line {number}: write NAME=value")
        if not separator:
            values.pop(name, None)
            continue
        try:
            values[name] = _value(raw, {**values, **environ})
        except ValueError as error:
            raise SettingsError(f"env file, line {number}, {name}: {error}") from None
    return values


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """Lines that count, those of one double-quoted value joined, with the number of the first."""
    held: list[str] = []
    first = 0
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        if held:
            held.append(line)
            if _closing_quotes(line) >= 1:
                yield first, "\n".join(held)
                held = []
        elif not line.strip() or line.lstrip().startswith("#"):
            continue
        elif '="' in line and _closing_quotes(line) <= 1:
            first, held = number, [line]
        else:
            yield number, line
    if held:
        raise SettingsError(f"env file, line {first}: the closing quote is missing")


def _closing_quotes(line: str) -> int:
    if line == '"':
        return 2
    return len(re.findall(r'(?=[^\\]")', line.replace("\\\\", "")))


def _value(raw: str, known: Mapping[str, str]) -> str:
    """Raises ValueError, which does not quote the value: it may be a secret."""

    def expand(found: re.Match[str]) -> str:
        name = found["name"]
        if name is not None:
            return known.get(name, found[0])
        if found["escape"] not in _ESCAPES:
            raise ValueError("unknown escape; inside double quotes write \\\\ for a backslash")
        return _ESCAPES[found["escape"]]

    if raw.startswith("'"):
        return _match(_SINGLE, raw)[1]
    if raw.startswith('"'):
        return _ESCAPE_OR_NESTED.sub(expand, _match(_DOUBLE, raw)[1])
    text = _match(_BARE, raw)[1]
    return str(_NESTED.sub(lambda found: known.get(found["name"], found[0]), text))


def _match(pattern: re.Pattern[str], raw: str) -> re.Match[str]:
    found = pattern.fullmatch(raw)
    if found is None:
        raise ValueError("write the value in one pair of quotes, with nothing but a comment after")
    return found
