"""decode on made-up event types: the entry around a body, versions, routes. The bodies of the
real types are tested in tests/workers/events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from typing_extensions import TypedDict

from shared.errors import InvalidEvent
from shared.streams.decode import DATA_BYTES, Fields, Upcast, decode, routes
from shared.streams.event import Event
from shared.streams.keys import partition_of

TS_US = 1_764_000_000_123_456


class Noted(TypedDict):
    """A body of version 3 with nothing but a text."""

    note: str


def check(_body: Noted, key: str) -> None:
    if key == "refuse":
        raise InvalidEvent("wrong_key", "the key is refused")


class Kind(NamedTuple):
    stream: str
    model: type[Any]
    check: Callable[[Any, str], None] = check


KINDS = {"note.made.3": Kind("notes", Noted), "other.made.1": Kind("others", Noted)}
UPCASTERS: dict[tuple[str, int], Upcast] = {
    ("note.made", 1): lambda data: {"words": data["text"]},
    ("note.made", 2): lambda data: {"note": "".join(data["words"]).strip()},
}
TABLE = routes(KINDS, UPCASTERS)


def fields(**changed: bytes) -> dict[bytes, bytes]:
    good = {
        "type": b"note.made.3",
        "key": b"k",
        "id": b"one",
        "ts_us": str(TS_US).encode(),
        "data": b'{"note":"a"}',
    }
    return {name.encode(): value for name, value in (good | changed).items()}


def decoded(entry: Fields, stream: str = "notes", partition: int | None = None) -> Event[Any]:
    key = dict(entry if isinstance(entry, dict) else zip(entry[::2], entry[1::2], strict=False))
    place = partition_of(key.get(b"key", b""), 8) if partition is None else partition
    return decode(stream, place, 8, "5-1", entry, TABLE)


def refused(entry: Fields, stream: str = "notes", partition: int | None = None) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        decoded(entry, stream, partition)
    return caught.value


def test_every_part_of_an_entry_arrives_in_the_event() -> None:
    assert decoded(fields()) == Event(
        stream="notes",
        partition=partition_of("k", 8),
        entry_id="5-1",
        type="note.made.3",
        key="k",
        event_id="one",
        ts_us=TS_US,
        data=b'{"note":"a"}',
        outbox_id=None,
        body=Noted(note="a"),
    )


def test_a_flat_entry_decodes_as_its_dict_in_any_order_of_fields() -> None:
    whole = fields(outbox=b"7", traceparent=b"\xff not looked at")
    flat = [part for pair in whole.items() for part in pair]
    backwards = [part for pair in reversed(whole.items()) for part in pair]
    assert decoded(whole) == decoded(flat) == decoded(backwards)
    assert decoded(flat[:10]) == decoded(fields())
    assert decoded(flat[:12]).outbox_id == 7


def test_a_field_name_that_comes_twice_is_refused() -> None:
    flat = [part for pair in fields().items() for part in pair]
    assert refused([*flat, b"key", b"other"]).reason == "malformed"
    assert refused([*flat, b"alone"]).reason == "malformed"


def test_a_missing_field_is_named() -> None:
    rest = fields()
    del rest[b"ts_us"], rest[b"key"]
    error = refused(rest)
    assert error.reason == "missing_field"
    assert "`key`, `ts_us`" in error.detail


def test_an_unknown_type_says_which_are_known() -> None:
    error = refused(fields(type=b"note.lost.1"))
    assert error.reason == "unknown_type"
    assert "note.made.3" in error.detail


def test_an_unknown_version_says_which_are_known() -> None:
    error = refused(fields(type=b"note.made.4"))
    assert error.reason == "unknown_version"
    assert "note.made.1, note.made.2, note.made.3" in error.detail


def test_a_type_of_another_stream_is_refused() -> None:
    error = refused(fields(), stream="others")
    assert error.reason == "wrong_stream"
    assert "'notes'" in error.detail


def test_a_wrong_partition_says_the_right_one() -> None:
    right = partition_of("k", 8)
    error = refused(fields(), partition=(right + 1) % 8)
    assert error.reason == "wrong_partition"
    assert f"partition {right} of 8" in error.detail


def test_a_bodys_own_check_refuses() -> None:
    assert refused(fields(key=b"refuse")).reason == "wrong_key"


def test_data_is_bounded_before_it_is_parsed() -> None:
    bare = b'{"note":""}'
    fits = b'{"note":"' + b"x" * (DATA_BYTES - len(bare)) + b'"}'
    assert len(decoded(fields(data=fits)).data) == DATA_BYTES
    assert refused(fields(data=fits + b" ")).reason == "too_large"


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity"])
def test_words_that_are_no_json_are_refused_even_in_fields_nobody_reads(word: bytes) -> None:
    assert refused(fields(data=b'{"note":"a","x":' + word + b"}")).reason == "invalid_json"
    assert decoded(fields(data=b'{"note":"' + word + b'"}')).body["note"] == word.decode()


def test_of_a_json_key_that_comes_twice_the_last_counts() -> None:
    assert decoded(fields(data=b'{"note":"a","note":"b"}')).body == Noted(note="b")


def test_unknown_fields_are_ignored() -> None:
    assert decoded(fields(data=b'{"later":[1,{"a":null}],"note":"a"}')).body == Noted(note="a")


@pytest.mark.parametrize(
    "event_id", ["x", "7f9c1c1e-1c1a-4b1e-8a55-1c2b3d4e5f60", "a b", "\u00e9" * 191, "\U0001f680"]
)
def test_an_id_is_any_clean_text_that_fits_its_column(event_id: str) -> None:
    assert decoded(fields(id=event_id.encode())).event_id == event_id


@pytest.mark.parametrize("outbox", [1, 2**64 - 1])
def test_an_outbox_id_is_any_unsigned_64_bit_number(outbox: int) -> None:
    assert decoded(fields(outbox=str(outbox).encode())).outbox_id == outbox


def test_old_versions_are_upcast_through_every_step_to_the_version_with_a_row() -> None:
    first = decoded(fields(type=b"note.made.1", data=b'{"text":[" a"," b "]}'))
    second = decoded(fields(type=b"note.made.2", data=b'{"words":["a b"]}'))
    assert (first.body, second.body) == (Noted(note="a b"), Noted(note="a b"))
    # What reads `data` later reads one version only.
    assert (first.type, first.data) == ("note.made.3", b'{"note":"a b"}')


@pytest.mark.parametrize("data", [b"[]", b'{"words":[1]}', b'{"text":1}', b"{}", b'{"words":null}'])
def test_an_old_version_that_is_not_of_its_version_is_refused(data: bytes) -> None:
    assert refused(fields(type=b"note.made.2", data=data)).reason == "malformed"


def test_an_old_version_that_is_no_json_is_refused() -> None:
    assert refused(fields(type=b"note.made.1", data=b"{")).reason == "invalid_json"


def test_a_chain_of_upcasters_that_leads_nowhere_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match=r"note\.made\.2, which has no row"):
        routes(KINDS, {("note.made", 1): UPCASTERS["note.made", 1]})


def test_a_version_with_a_row_and_an_upcaster_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="keep one of them"):
        routes(KINDS, {("note.made", 3): UPCASTERS["note.made", 1]})


def test_many_errors_of_one_body_are_cut_to_a_few() -> None:
    class Wide(TypedDict):
        a: int
        b: int
        c: int
        d: int
        e: int
        f: int
        g: int

    table = routes({"wide.made.1": Kind("notes", Wide)})
    with pytest.raises(InvalidEvent) as caught:
        decode("notes", 0, 1, "5-1", fields(type=b"wide.made.1", data=b"{}"), table)
    assert caught.value.detail.count("is missing") == 5
    assert caught.value.detail.endswith("2 more")


def test_a_foreign_value_is_shown_cut_and_in_plain_ascii() -> None:
    error = refused(fields(type=b"\xff\x00\n" + "\U0001f680".encode() * 200))
    assert error.detail.isascii()
    assert error.detail.isprintable()
    assert len(error.detail) < 400


@pytest.mark.parametrize(("held", "shown"), [('{"password": "p"}', "object"), ('["p"]', "array")])
def test_what_is_in_an_object_or_a_list_is_not_shown(held: str, shown: str) -> None:
    class Narrow(TypedDict):
        side: int

    table = routes({"narrow.made.1": Kind("notes", Narrow)})
    data = f'{{"side": {held}}}'.encode()
    with pytest.raises(InvalidEvent) as caught:
        decode("notes", 0, 1, "5-1", fields(type=b"narrow.made.1", data=data), table)
    assert f"`side` is a JSON {shown}, must be" in caught.value.detail
