"""Statements in the log: which change rows without rows in the log, and which change tables.

With row format the log holds statements only for DDL, and for what a session in STATEMENT or MIXED
format does. Not a parser: tokens, the first words, and every name that may be a table's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from shared.cdc.events import Query

Verb: TypeAlias = Literal[
    "rows", "truncate", "drop", "rename", "alter", "alter_rows", "create", "drop_schema",
    "harmless", "unknown",
]  # fmt: skip
"""What a statement does. alter_rows: an ALTER that adds or removes rows, as of partitions."""

Name: TypeAlias = tuple[str, str]
"""Schema and table."""


class Statement(NamedTuple):
    """tables: for `rows` every name in it; else those that it is about, a new name included.
    moves: old and new name of each renamed table.
    """

    verb: Verb
    tables: tuple[Name, ...] = ()
    moves: tuple[tuple[Name, Name], ...] = ()


class Token(NamedTuple):
    """kind: `word` (as written, unquoted), `name` (was quoted), `text`, or `sign`."""

    kind: Literal["word", "name", "text", "sign"]
    value: str


_ROWS = {"insert", "replace", "update", "delete", "load", "with", "do", "select", "call", "table",
         "values", "import", "handler", "execute"}  # fmt: skip
"""A function or procedure in it may have changed anything, or it would not be in the log."""
_HARMLESS = {
    "analyze", "optimize", "repair", "check", "checksum", "flush", "grant", "revoke", "set",
    "use", "install", "uninstall", "kill", "lock", "unlock", "reset", "purge", "change", "start",
    "stop", "begin", "commit", "rollback", "savepoint", "release", "xa", "cache", "comment",
    "clone", "binlog", "help", "show", "explain", "describe", "restart", "shutdown", "backup",
}  # fmt: skip
_OTHER_OBJECTS = {
    "view", "trigger", "procedure", "function", "event", "user", "role", "server", "tablespace",
    "logfile", "undo", "sequence", "package", "resource", "catalog", "instance",
    "library", "aggregate", "definer", "algorithm", "sql", "reference", "json", "materialized",
    "loadable", "masking",
}  # fmt: skip
_BEFORE_OBJECTS = {
    "or", "replace", "online", "offline", "ignore", "unique", "fulltext", "spatial", "vector",
    "temporary", "external",
}  # fmt: skip
_MOVES_ROWS = {
    ("truncate", "partition"), ("drop", "partition"), ("exchange", "partition"),
    ("import", "tablespace"), ("discard", "tablespace"), ("import", "partition"),
    ("discard", "partition"), ("convert", "partition"), ("convert", "table"),
}  # fmt: skip

_WORD = re.compile(r"[0-9A-Za-z_$\u0080-\U0010ffff]+")
_SKIPPED = re.compile(r"\s+|#[^\n]*|--(?=\s|$)[^\n]*|/\*M?!\d*|\*/")
_PLAIN = {quote: re.compile(f"{quote}((?:[^{quote}]|{quote * 2})*){quote}?") for quote in "'\"`"}
_ESCAPED = {
    quote: re.compile(rf"{quote}((?:[^{quote}\\]|\\.|{quote * 2})*){quote}?", re.DOTALL)
    for quote in "'\""
}


def tokens(text: str, *, ansi_quotes: bool = False, no_backslash: bool = False) -> Iterator[Token]:
    """Comments aside, but for those that the server executes (`/*!50100 ... */`)."""
    at = 0
    while at < len(text):
        if found := _SKIPPED.match(text, at):
            at = found.end()
        elif text.startswith("/*", at):
            end = text.find("*/", at + 2)
            at = len(text) if end < 0 else end + 2
        elif text[at] in "'\"`":
            quote = text[at]
            names = quote == "`" or (quote == '"' and ansi_quotes)
            closed = _PLAIN if names or no_backslash else _ESCAPED
            found = closed[quote].match(text, at)
            assert found is not None, "an end that is missing is the end of the text"
            at = found.end()
            yield Token("name" if names else "text", found[1].replace(quote * 2, quote))
        elif found := _WORD.match(text, at):
            at = found.end()
            yield Token("word", found[0])
        else:
            yield Token("sign", text[at])
            at += 1


def read(query: Query) -> Statement:
    """What a statement of the log does, and to which tables."""
    text = query.text.decode("utf-8", "replace")
    quotes = {"ansi_quotes": query.ansi_quotes, "no_backslash": query.no_backslash}
    found = list(tokens(text, **quotes))
    while found and found[0] == Token("sign", "("):
        found = found[1:]
    first = _word(found, 0)
    if not found or first in _HARMLESS:
        return Statement("harmless")
    if first in _ROWS:
        return Statement("rows", tuple(_every_name(found, query.schema)))
    if first == "truncate":
        at = 2 if _word(found, 1) == "table" else 1
        return Statement("truncate", (_name(found, at, query.schema)[0],))
    if first == "rename":
        return _rename(found, query.schema)
    if first in {"create", "alter", "drop"}:
        return _definition(first, found, query.schema)
    return Statement("unknown", tuple(_every_name(found, query.schema)))


def _word(found: list[Token], at: int) -> str:
    return found[at].value.lower() if at < len(found) and found[at].kind == "word" else ""


def _name(found: list[Token], at: int, schema: str) -> tuple[Name, int]:
    """`table` or `schema.table` at a place, and the place after it."""
    if at + 2 < len(found) and found[at + 1] == Token("sign", "."):
        return (found[at].value, found[at + 2].value), at + 3
    return (schema, found[at].value if at < len(found) else ""), at + 1


def _every_name(found: list[Token], schema: str) -> Iterator[Name]:
    """Whatever could be a table: better a name too many than a change that nobody sees."""
    for at, token in enumerate(found):
        if token.kind in {"word", "name"}:
            yield schema, token.value
            if at > 1 and found[at - 1] == Token("sign", "."):
                yield found[at - 2].value, token.value


def _rename(found: list[Token], schema: str) -> Statement:
    if _word(found, 1) not in {"table", "tables"}:
        return Statement("harmless")  # of a user
    at = 4 if _word(found, 2) == "if" else 2
    moves = []
    while at < len(found):
        old, at = _name(found, at, schema)
        while at < len(found) and _word(found, at) != "to":  # WAIT, NOWAIT
            at += 1
        new, at = _name(found, at + 1, schema)
        moves.append((old, new))
        at += 1
    return Statement("rename", tuple(name for move in moves for name in move), tuple(moves))


def _definition(first: str, found: list[Token], schema: str) -> Statement:
    """CREATE, ALTER, DROP of whatever it is."""
    at = 1
    while _word(found, at) in _BEFORE_OBJECTS:
        at += 1
    what = _word(found, at)
    temporary = any(_word(found, place) == "temporary" for place in range(1, at))
    if temporary or what in _OTHER_OBJECTS:
        return Statement("harmless")
    at += 1
    while _word(found, at) in {"if", "not", "exists"}:
        at += 1
    if what in {"schema", "database"}:
        named = (_name(found, at, "")[0][1], "")
        return Statement("drop_schema", (named,)) if first == "drop" else Statement("harmless")
    if what == "index":
        while at < len(found) and _word(found, at) != "on":
            at += 1
        return Statement("alter", (_name(found, at + 1, schema)[0],))
    if what not in {"table", "tables"}:
        return Statement("unknown", tuple(_every_name(found, schema)))
    return _table(first, found, at, schema)


def _table(first: str, found: list[Token], at: int, schema: str) -> Statement:
    if first == "drop":
        return Statement("drop", tuple(_list(found, at, schema)))
    name, at = _name(found, at, schema)
    return Statement("create", (name,)) if first == "create" else _alter(found[at:], name, schema)


def _list(found: list[Token], at: int, schema: str) -> Iterator[Name]:
    while at < len(found):
        name, at = _name(found, at, schema)
        yield name
        if at >= len(found) or found[at] != Token("sign", ","):
            return
        at += 1


def _alter(rest: list[Token], name: Name, schema: str) -> Statement:
    words = [token.value.lower() if token.kind == "word" else "" for token in rest]
    for at, word in enumerate(words):
        follows = words[at + 1] if at + 1 < len(words) else ""
        if (word, follows) in _MOVES_ROWS:
            others = tuple(_every_name(rest, schema)) if word in {"exchange", "convert"} else ()
            return Statement("alter_rows", (name, *others))
        if word == "rename" and follows not in {"column", "index", "key", "constraint"}:
            place = at + 2 if follows in {"to", "as"} or rest[at + 1].value == "=" else at + 1
            new = _name(rest, place, schema)[0]
            return Statement("rename", (name, new), ((name, new),))
    return Statement("alter", (name,))
