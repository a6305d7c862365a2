from __future__ import annotations

from shared.streams.keys import partition_of, stream_key


def test_a_stream_key_is_the_prefix_as_it_stands_and_a_hash_tag() -> None:
    assert (
        stream_key("trade_desk_database_", "orders", 3) == "trade_desk_database_streams:{orders:3}"
    )
    assert stream_key("", "signals", 31) == "streams:{signals:31}"


def test_a_partition_is_phps_crc32_of_the_keys_text() -> None:
    # php > echo crc32('42') % 32, ' ', crc32('-1001234567890') % 32, ' ', crc32('') % 32;
    assert partition_of("42", 32) == 841265288 % 32
    assert partition_of(b"42", 32) == partition_of("42", 32)
    assert partition_of("", 32) == 0


def test_text_outside_ascii_counts_by_its_utf8_bytes() -> None:
    assert partition_of("Kanal \u00e4", 7) == partition_of("Kanal \u00e4".encode(), 7)
