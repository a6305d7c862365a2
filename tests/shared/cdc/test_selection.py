"""What leaves the source, and in which form."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

import pytest

from shared.cdc.selection import FRAMEWORK, Keeping, Schemas, Selection
from shared.errors import SettingsError

KEY = b"k" * 32
DESK = Schemas("fleet", "desk")


def select(
    tables: Sequence[str],
    columns: Mapping[str, Keeping] | None = None,
    key: bytes | None = None,
    schemas: Schemas = DESK,
) -> Selection:
    return Selection(schemas, tables, columns or {}, key)


def test_what_is_not_named_is_of_no_interest() -> None:
    chosen = select(["fleet_fills", "users"])
    assert chosen.interest("fleet", "fleet_fills") == "captured"
    assert chosen.interest("desk", "users") == "captured"
    assert chosen.interest("fleet", "fleet_orders") is None
    assert chosen.interest("desk", "sessions") is None


def test_the_same_name_in_another_schema_is_another_table() -> None:
    chosen = select(["fleet_fills", "users"])
    assert chosen.interest("desk", "fleet_fills") is None
    assert chosen.interest("fleet", "users") is None
    assert chosen.interest("elsewhere", "users") is None
    assert select(["users"], schemas=Schemas("desk", "desk")).interest("desk", "users")


def test_what_says_who_wrote_and_how_far_is_noted_and_never_captured() -> None:
    chosen = select(["fleet_*"])
    for table in ("fleet_cdc_heartbeat", "fleet_change_context", "fleet_offsets"):
        assert chosen.interest("fleet", table) == "noted"
    for table in ("fleet_change_log", "fleet_change_log_late", "fleet_cdc_offset"):
        assert chosen.interest("fleet", table) is None


@pytest.mark.parametrize(
    "table", ["fleet_change_log", "fleet_cdc_heartbeat", "fleet_cdc_anything", "fleet_offsets"]
)
def test_capturing_what_capturing_writes_is_refused(table: str) -> None:
    with pytest.raises(SettingsError, match="each change would cause the next"):
        select([table])


def test_a_pattern_means_tables_of_ours_alone() -> None:
    chosen = select(["fleet_sync*"])
    assert chosen.interest("fleet", "fleet_syncs") == "captured"
    assert chosen.interest("fleet", "fleet_fills") is None
    for pattern in ("*", "user*", "*_tokens", "f*"):
        with pytest.raises(SettingsError, match="name each table"):
            select([pattern])


def test_no_pattern_means_the_outbox_and_the_settings() -> None:
    chosen = select(["fleet_*"])
    assert chosen.interest("fleet", "fleet_outbox") is None
    assert chosen.interest("fleet", "fleet_settings") is None
    assert select(["fleet_outbox"]).interest("fleet", "fleet_outbox") == "captured"


@pytest.mark.parametrize("pattern", FRAMEWORK)
def test_laravels_machinery_is_captured_by_its_full_name_only(pattern: str) -> None:
    name = pattern.replace("*", "entries")
    assert select(["fleet_*"]).interest("desk", name) is None
    assert select([name]).interest("desk", name) == "captured"


def test_columns_of_the_application_that_sound_secret_stay_there() -> None:
    chosen = select(["users", "fleet_fills"])
    secret = ["password", "remember_token", "two_factor_secret", "API_KEY"]
    found = chosen.columns("desk", "users", ["id", "email", *secret])
    assert found == ("keep", "keep", *("drop" for _ in secret))
    # Ours are known: `token` in one of them is no secret.
    assert chosen.columns("fleet", "fleet_fills", ["trade_id", "token"]) == ("keep", "keep")


def test_a_rule_wins_over_the_sound_of_a_name() -> None:
    rules: dict[str, Keeping] = {"users.token_count": "keep", "users.email": "hash"}
    chosen = select(["users"], rules, KEY)
    names = ["token_count", "email", "id"]
    assert chosen.columns("desk", "users", names) == ("keep", "hash", "keep")


def test_a_hash_is_keyed_and_the_same_everywhere() -> None:
    chosen = select(["users"], {"users.email": "hash"}, KEY)
    wanted = hmac.new(KEY, b"a@example.com", hashlib.sha256).hexdigest()
    assert chosen.hashed("a@example.com") == wanted
    assert chosen.hashed(None) is None
    assert chosen.hashed({"$base64": "AAEC"}) != chosen.hashed("AAEC")
    assert chosen.hashed(1) == chosen.hashed("1")
    other = select(["users"], {"users.email": "hash"}, b"x" * 32)
    assert other.hashed("a@example.com") != wanted


def test_nothing_is_hashed_without_a_key() -> None:
    """Who only asks what is captured needs none."""
    chosen = select(["users"], {"users.email": "hash"})
    assert chosen.columns("desk", "users", ["email"]) == ("hash",)
    with pytest.raises(SettingsError, match="FLEET_CDC_HASH_KEY"):
        chosen.hashed("a@example.com")


def test_the_fingerprint_changes_when_other_values_would_be_captured() -> None:
    rules: dict[str, Keeping] = {"users.email": "hash"}
    known = [
        select(["users"]),
        select(["users", "fleet_fills"]),
        select(["fleet_*"]),
        select(["users"], {"users.email": "drop"}),
        select(["users"], rules, KEY),
        select(["users"], rules, b"x" * 32),
        select(["users"], schemas=Schemas("fleet", "other")),
    ]
    assert len({one.fingerprint for one in known}) == len(known)
    assert select(["a", "b"]).fingerprint == select(["b", "a", "a"]).fingerprint
    assert KEY.hex() not in known[4].fingerprint
