"""The peer with a FastStream batch subscriber: `-m tests.bench.faststream_peer KEY BATCH`."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from faststream import FastStream
from faststream.redis import RedisBroker, StreamSub
from faststream.redis.annotations import RedisBatchStreamMessage

from shared.mysql.connection import connect
from shared.settings import load
from tests.bench.same_ledger import record


def main() -> None:
    key, batch = sys.argv[1], int(sys.argv[2])
    settings = load("streams")
    connection = connect(settings.mysql)
    url = settings.streams_redis.url().get_secret_value()
    quiet: Any = None
    broker = RedisBroker(url, logger=quiet, log_level=logging.ERROR)
    stream = StreamSub(
        key, group="bench", consumer="one", batch=True, max_records=batch, last_id="0",
        polling_interval=100,
    )  # fmt: skip

    @broker.subscriber(stream=stream)
    async def booked(message: RedisBatchStreamMessage) -> None:
        record(connection, _entries(message))

    asyncio.run(FastStream(broker, logger=None).run())


def _entries(message: Any) -> Any:
    return message.raw_message["data"]


if __name__ == "__main__":
    main()
