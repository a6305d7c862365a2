from __future__ import annotations

from shared.streams.event import Event


def test_an_event_is_a_plain_tuple_that_cannot_be_changed() -> None:
    event = Event("orders", 3, "5-1", "order.filled.1", "42", "id", 1, b"{}", None, "body")
    assert isinstance(event, tuple)
    assert event.body == "body"
    assert event._replace(outbox_id=7).outbox_id == 7
    assert hash(event)
