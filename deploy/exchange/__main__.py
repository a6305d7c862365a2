"""`python -m deploy.exchange --port 9650 [--scale 20]`: until it is told to stop."""

from __future__ import annotations

import asyncio
import signal

import click

from deploy.exchange.server import Venues, listen, new_exchange


@click.command()
@click.option("--port", default=9650, show_default=True, help="On 127.0.0.1; 0 takes a free one.")
@click.option("--scale", default=1, show_default=True, help="So much shorter are limits' windows.")
def main(port: int, scale: int) -> None:
    """A local exchange: Binance, Bybit and OKX on one port, controlled under /_desk/."""
    asyncio.run(serve(port, scale))


async def serve(port: int, scale: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    runner = await listen(Venues(new_exchange(scale=scale)), port)
    print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await stopped.wait()
    await runner.cleanup()


if __name__ == "__main__":
    main()
