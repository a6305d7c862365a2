"""The fold alone: fills to positions and realized P&L, against nautilus_trader's Position.

    python -m tests.bench.fold FILE REPEATS     our side, in a process of its own as the peer is

Both sides get the same file of fills as texts. Timed is `ready`: the loop over fill objects that
were made beforehand (ours with their value, a column of a stored fill; nautilus' OrderFilled), and
`inside`: from the texts, with the making of those objects. Processor time, for neither waits.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

from shared.ledger.fill import value_of
from shared.ledger.money import LEDGER, ONE, ZERO
from shared.ledger.position import FLAT, fold
from shared.mysql.book_positions import FoldFill
from tests.bench.figures import Figure, alternate, at_least

CYCLE = 25
REPEATS = 5  # of a side in its process; the quickest counts, which was disturbed least
PINNED = Path(__file__).with_name("nautilus.txt")
PEER = Path(__file__).with_name("nautilus_peer.py")
START_MS = 1_760_000_000_000
STEP_MS = 60_000
INSTALL_SECONDS = 1800
RUN_SECONDS = 600

# Trade id, side, quantity, price, fee, milliseconds.
Told = tuple[str, str, str, str, str, int]


def fills(count: int, seed: int = 7) -> list[Told]:
    """Of one position, in cycles: 24 random buys and sells, flips among them, and one that closes
    what is left.
    """
    draw = random.Random(seed)
    told: list[Told] = []
    held = 0  # thousandths of a coin
    for number in range(count):
        side, qty = draw.choice(("buy", "sell")), draw.randrange(1, 2_000)
        if number % CYCLE == CYCLE - 1 and held:
            side, qty = "sell" if held > 0 else "buy", abs(held)
        held += qty if side == "buy" else -qty
        price, fee = draw.randrange(600_000, 700_000), draw.randrange(1, 9 * 10**7)
        told.append((
            str(5_000_000_000 + number), side, f"{qty // 1000}.{qty % 1000:03}",
            f"{price // 10}.{price % 10}", f"0.{fee:08}", START_MS + number * STEP_MS,
        ))  # fmt: skip
    return told


def fill(told: Sequence[Any]) -> FoldFill:
    trade_id, side, qty, price, fee, at_ms = told
    amount = Decimal(qty)
    value = value_of("linear", amount, Decimal(price), ONE)
    return FoldFill(
        at_ms, -1, trade_id, side, "binance", amount, value, Decimal(fee), "USDT", None, "USDT", ONE
    )


def speed(*, count: int = 100_000, rounds: int = 5) -> Figure:
    """Both sides must come to the same P&L up to what nautilus rounds: to 8 places, each fill."""
    python = environment()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fills.json"
        path.write_text(json.dumps(fills(count)), encoding="utf-8")
        seen: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}

        def run(side: str, *command: str) -> float:
            arguments = [*command, str(path), str(REPEATS)]
            done = subprocess.run(
                arguments, check=True, capture_output=True, text=True, timeout=RUN_SECONDS
            )
            seen[side].append(json.loads(done.stdout.splitlines()[-1]))
            return float(seen[side][-1]["ready"])

        ready = alternate(
            lambda: run("ours", sys.executable, "-m", "tests.bench.fold"),
            lambda: run("peer", str(python), str(PEER)),
            rounds,
        )
    pairs = list(zip(seen["ours"], seen["peer"], strict=True))
    inside = median(mine["inside"] / other["inside"] for mine, other in pairs)
    off = abs(Decimal(pairs[0][0]["net"]) - Decimal(pairs[0][1]["net"]))
    assert off < Decimal(count) / 10**8, f"the sides differ by {off}: not the same work"
    return at_least(
        "fold of fills into positions and realized P&L / nautilus_trader 1.221.0 Position",
        2.0, ready, "fills/s",
        f"{count:,} fills of one position in cycles of {CYCLE}, fill objects made beforehand on"
        f" both sides (made inside: {inside:.2f}); flips split as its engine does, without its"
        f" events, cache and log; the P&L of both is {off.normalize():f} USDT apart, by its"
        " rounding",
    )  # fmt: skip


def environment() -> Path:
    """The interpreter that has nautilus; installed once, in the cache folder outside the checkout.
    Another list of versions, or another Python, is another environment.
    """
    named = PINNED.read_bytes() + sys.version.encode()
    digest = hashlib.sha256(named).hexdigest()[:12]
    place = _cache_folder() / "bench" / f"nautilus-{digest}"
    if not place.exists():
        print(f"installing nautilus_trader into {place}, once, 700 MB ...", end=" ", flush=True)
        building = place.with_name(f"{place.name}.building-{os.getpid()}")
        shutil.rmtree(building, ignore_errors=True)
        python = building / "bin" / "python"
        for command in (
            [sys.executable, "-m", "venv", str(building)],
            [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check",
             "--require-hashes", "--only-binary", ":all:", "-r", str(PINNED)],
        ):  # fmt: skip
            subprocess.run(command, check=True, timeout=INSTALL_SECONDS)
        building.rename(place)
    return place / "bin" / "python"


def _cache_folder() -> Path:
    """As deploy/servers/roots.py finds it."""
    chosen = os.environ.get("FLEET_CACHE")
    if chosen:
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "tradefleet"


def main() -> None:
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    ready, inside, net = [], [], ZERO
    for _ in range(int(sys.argv[2])):
        started = time.process_time()
        made = [fill(one) for one in told]
        begun = time.process_time()
        realized = fold(FLAT, made, "linear").realized
        ended = time.process_time()
        ready.append(len(told) / (ended - begun))
        inside.append(len(told) / (ended - started))
        net = realized
        for one in made:
            net = LEDGER.subtract(net, one.fee or ZERO)
    print(json.dumps({"ready": max(ready), "inside": max(inside), "net": str(net)}))


if __name__ == "__main__":
    main()
