"""What must be true of the source before its log says everything: settings of the server, and how
the captured tables are made. Pure rules over facts, so each can be shown to find what it is for.

`fleet doctor` shows all of it. A collector does not begin where rows could not be read exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from shared.cdc.errors import SourceStopped
from shared.cdc.selection import Selection, of_the_framework
from workers.diagnosis import Finding, number

RETENTION_DAYS = 7
CASCADES_LOGGED = (9, 6)
"""From this MySQL on the server itself carries out what foreign keys ask for, and logs it."""

_DAY = 86_400
_ROW_ENGINES = frozenset({"InnoDB", "ROCKSDB"})
_FORGETFUL = frozenset({"MEMORY", "BLACKHOLE"})


class Fault(NamedTuple):
    """loses: changes can be lost, `fleet doctor` exits 1. stops: the log cannot be read exactly.
    cure: the line or statement, to be copied.
    """

    text: str
    cure: str
    loses: bool = True
    stops: bool = False


class CapturedTable(NamedTuple):
    """A captured table as information_schema has it. key: of the first unique key without NULLs.
    cascades: foreign keys by which other tables change this one, as sentences.
    """

    name: str
    schema: str
    kind: str
    engine: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    cascades: tuple[Cascade, ...]


class Cascade(NamedTuple):
    constraint: str
    parent: str
    says: str


class SourceFacts(NamedTuple):
    """variables: global ones, lower-case names. filters: binlog-do-db and binlog-ignore-db.
    replicates: whether the server is a replica; None: it does not tell this user. missing: captured
    by name and not there. accounts: why Laravel's accounts are not captured.
    """

    variables: Mapping[str, str]
    filters: str
    replicates: bool | None
    tables: Sequence[CapturedTable]
    missing: Sequence[str]
    accounts: str
    collector_id: int

    @property
    def mariadb(self) -> bool:
        return "mariadb" in self.variables["version"].lower()

    @property
    def logs_cascades(self) -> bool:
        if self.mariadb or number(self.variables["version"]) < CASCADES_LOGGED:
            return False
        return self.variables.get("innodb_native_foreign_keys", "OFF") != "ON"


# --- the server ----------------------------------------------------------------------------------


def logged(facts: SourceFacts) -> list[Fault]:
    if facts.variables.get("log_bin") != "ON":
        return [
            Fault(
                "the binlog is off: changes cannot be captured, nor a backup rolled forward",
                "my.cnf: log_bin, server_id = 1; then restart",
                stops=True,
            )
        ]
    found = []
    if facts.variables.get("server_id") == "0":
        text = "server_id is 0: the server gives its log to nobody"
        found.append(Fault(text, _set("server_id", "1"), stops=True))
    if facts.filters:
        text = f"the log leaves schemas out ({facts.filters})"
        cure = "remove binlog-do-db and binlog-ignore-db from my.cnf; then restart"
        found.append(Fault(text, cure, stops=True))
    return found


# Name -> what it must be, and what is lost otherwise. Servers that do not have one are content.
_FORMAT: Mapping[str, tuple[str, str]] = {
    "binlog_format": ("ROW", "sessions log statements, which cannot be captured"),
    "binlog_row_image": ("FULL", "rows are logged with holes"),
    "binlog_row_metadata": ("FULL", "names of columns, labels and signs are not logged"),
    "binlog_row_value_options": ("", "JSON is logged as differences"),
    "log_bin_compress": ("OFF", "rows are logged in a form that is not read"),
    "binlog_transaction_compression": ("OFF", "rows are logged in a form that is not read"),
}


def row_format(facts: SourceFacts) -> list[Fault]:
    """Sessions that were connected before keep what they had."""
    again = "; then let the application connect again"
    return [
        Fault(
            f"{name} is {facts.variables[name] or 'empty'}: {why}",
            _set(name, want) + again,
            stops=True,
        )
        for name, (want, why) in _FORMAT.items()
        if name in facts.variables and facts.variables[name].upper() != want
    ]


def kept(facts: SourceFacts) -> list[Fault]:
    """How long a collector may be away."""
    variables = facts.variables
    seconds = int(float(variables.get("binlog_expire_logs_seconds") or 0))
    days = float(variables.get("expire_logs_days") or 0)
    purges = variables.get("binlog_expire_logs_auto_purge", "ON") == "ON"
    spans = [span for span in (seconds, days * _DAY) if span > 0]
    found = []
    if purges and spans and min(spans) < RETENTION_DAYS * _DAY:
        hours = min(spans) / 3600
        text = f"the log is purged after {hours:g} h: a collector that is away longer loses changes"
        cure = _set("binlog_expire_logs_seconds", str(RETENTION_DAYS * _DAY))
        found.append(Fault(text, cure))
    size = int(variables.get("max_binlog_total_size") or 0)
    if size:
        text = f"the log is purged beyond {size} bytes (max_binlog_total_size), however new it is"
        found.append(Fault(text, _set("max_binlog_total_size", "0")))
    return found


# Name -> what it must be, and what happens otherwise; for servers that have it.
_SAFE: Mapping[str, tuple[str, str]] = {
    "sync_binlog": ("1", "after a power cut rows can be in the tables and not in the log"),
    "innodb_flush_log_at_trx_commit": ("1", "a power cut loses committed transactions"),
    "binlog_error_action": ("ABORT_SERVER", "changes go on when the log cannot be written"),
    "binlog_order_commits": ("ON", "commits come in another order than the log's"),
}


def safe(facts: SourceFacts) -> list[Fault]:
    return [
        Fault(f"{name} is {facts.variables[name]}: {why}", _set(name, want))
        for name, (want, why) in _SAFE.items()
        if name in facts.variables and facts.variables[name].upper() != want
    ]


def primary(facts: SourceFacts) -> list[Fault]:
    """The log of a replica holds what it replicates only if it is told so."""
    variables = facts.variables
    found = []
    name = next((n for n in ("log_replica_updates", "log_slave_updates") if n in variables), None)
    if name and variables[name] != "ON" and facts.replicates is not False:
        text = f"{name} is off: what this server replicates is not in its log"
        cure = f"my.cnf: {name} = ON; then restart (or capture from the primary)"
        found.append(Fault(text, cure, loses=bool(facts.replicates), stops=bool(facts.replicates)))
    if "ON" in {variables.get("read_only"), variables.get("super_read_only")}:
        text = "the server is read-only: a heartbeat and marks for snapshots cannot be written"
        found.append(Fault(text, "capture from the primary: DB_HOST=...", stops=True))
    return found


def followed(facts: SourceFacts) -> list[Fault]:
    """What a failover needs, and that we are nobody else."""
    variables = facts.variables
    found = []
    if variables.get("server_id") == str(facts.collector_id):
        text = f"the server's own id is that of the collector, {facts.collector_id}"
        cure = f"FLEET_CDC_SERVER_ID={facts.collector_id - 1}"
        found.append(Fault(text, cure, stops=True))
    if not facts.mariadb and variables.get("gtid_mode", "ON") != "ON":
        text = "gtid_mode is off: after a failover nobody can tell where to go on"
        cure = "my.cnf: gtid_mode = ON, enforce_gtid_consistency = ON; then restart"
        found.append(Fault(text, cure, loses=False))
    if variables.get("binlog_checksum") == "NONE":
        text = "binlog_checksum is NONE: a damaged log is not noticed"
        found.append(Fault(text, _set("binlog_checksum", "CRC32"), loses=False))
    if variables.get("wsrep_on") == "ON":
        text = "a Galera node: each has a log of its own, so positions hold for this node alone"
        found.append(Fault(text, "let DB_HOST name one node, not a proxy", loses=False))
    return found


# --- the tables ----------------------------------------------------------------------------------


def tables_there(facts: SourceFacts) -> list[Fault]:
    found = [
        Fault(
            f"{name} is to be captured and is not there, or this user may not read it",
            f"correct FLEET_CDC_TABLES, or GRANT SELECT ON {name} (fleet doctor --grants)",
            loses=False,
        )
        for name in facts.missing
    ]
    if facts.accounts:
        text, _, cure = facts.accounts.partition(": ")
        found.append(Fault(f"{text}: Laravel's accounts are not captured", cure, loses=False))
    return found


def engines(facts: SourceFacts) -> list[Fault]:
    found = []
    for table in facts.tables:
        where = f"{table.schema}.{table.name}"
        if table.kind != "BASE TABLE":
            text = f"{where} is a {table.kind.lower()}: the log has no rows of it"
            found.append(Fault(text, f"FLEET_CDC_TABLES: name the table behind {table.name}"))
        elif table.engine in _FORGETFUL:
            text = f"{where} is in {table.engine}: it loses rows that the log still has"
            found.append(Fault(text, f"ALTER TABLE {where} ENGINE=InnoDB"))
        elif table.engine not in _ROW_ENGINES:
            text = f"{where} is in {table.engine}: a statement that fails half-way stays half"
            found.append(Fault(text, f"ALTER TABLE {where} ENGINE=InnoDB", loses=False))
    return found


def keys(facts: SourceFacts) -> list[Fault]:
    return [
        Fault(
            f"{table.schema}.{table.name} has no primary key, nor a unique one without NULLs: "
            "two equal rows are one to everybody who reads them",
            f"ALTER TABLE {table.schema}.{table.name} "
            "ADD COLUMN row_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY",
        )
        for table in facts.tables
        if table.kind == "BASE TABLE" and not table.key
    ]


def compressed(facts: SourceFacts) -> list[Fault]:
    """MariaDB's COMPRESSED columns stand in the log as they stand on disk."""
    return [
        Fault(
            f"{table.schema}.{table.name}.{column} is COMPRESSED: the log has it in a form that is "
            "not read",
            f"ALTER TABLE {table.schema}.{table.name} MODIFY {column} {_plain(kind)}; "
            f"or FLEET_CDC_TABLES without {table.name}",
            stops=True,
        )
        for table in facts.tables
        for column, kind in table.columns.items()
        if "COMPRESSED" in kind.upper()
    ]


def cascades(facts: SourceFacts) -> list[Fault]:
    """Rows that the server changes by itself, without logging it."""
    if facts.logs_cascades:
        return []
    return [
        Fault(
            f"{table.schema}.{table.name} changes when {one.parent} does ({one.says}), and this "
            "server does not log it: what is captured of it cannot be proven",
            f"ALTER TABLE {table.schema}.{table.name} DROP FOREIGN KEY {one.constraint}, then add "
            "it without CASCADE and SET NULL (the application changes the rows itself); "
            f"fleet cdc resync {table.name} finds what was missed",
        )
        for table in facts.tables
        for one in table.cascades
    ]


def framework(facts: SourceFacts) -> list[Fault]:
    return [
        Fault(
            f"{table.name} is Laravel's own machinery: tokens, payloads, and changes all the time",
            f"FLEET_CDC_TABLES without {table.name}, unless it is meant",
            loses=False,
        )
        for table in facts.tables
        if of_the_framework(table.name)
    ]


RULES: Sequence[Callable[[SourceFacts], list[Fault]]] = (
    logged,
    row_format,
    kept,
    safe,
    primary,
    followed,
    tables_there,
    engines,
    keys,
    compressed,
    cascades,
    framework,
)


def faults(facts: SourceFacts, selection: Selection) -> list[Fault]:
    """Everything that is wrong, the gravest first."""
    found = [fault for rule in RULES for fault in rule(facts)]
    found += _keys_captured(facts, selection)
    return sorted(found, key=lambda fault: (not fault.stops, not fault.loses))


def _keys_captured(facts: SourceFacts, selection: Selection) -> list[Fault]:
    found = []
    for table in facts.tables:
        kept = selection.columns(table.schema, table.name, table.key)
        for column, keeping in zip(table.key, kept, strict=True):
            if keeping == "drop":
                text = f"{table.name}.{column} is dropped and part of the key: rows become one"
                cure = f"FLEET_CDC_COLUMNS={table.name}.{column}=hash (or keep)"
                found.append(Fault(text, cure, stops=True))
    return found


def findings(found: Sequence[Fault], tables: int) -> list[Finding]:
    """For `fleet doctor`."""
    if not found:
        text = f"whole rows of {tables} tables, kept for {RETENTION_DAYS} days or longer"
        return [Finding("binlog", "ok", text)]
    return [
        Finding("binlog", "fail" if fault.loses else "warn", fault.text, fault.cure)
        for fault in found
    ]


def require(found: Sequence[Fault]) -> None:
    """Raises SourceStopped for what makes the log unreadable: its first fault, and how many."""
    stopping = [fault for fault in found if fault.stops]
    if stopping:
        first, more = stopping[0], len(stopping) - 1
        text = f"{first.text} (and {more} more: fleet doctor)" if more else first.text
        raise SourceStopped("source_settings", text, first.cure)


def _set(name: str, value: str) -> str:
    shown = value if value.isdigit() else f"'{value}'"
    return f"SET GLOBAL {name} = {shown}; my.cnf: {name} = {value or chr(39) * 2}"


def _plain(column_type: str) -> str:
    return re.sub(r"\s*(/\*.*?\*/|COMPRESSED)\s*", " ", column_type, flags=re.IGNORECASE).strip()
