"""Who should own what: total, fair, the same on every node, and calm when a node comes or goes."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from shared.streams.assignment import PartitionId, assign

NODES = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=9, unique=True)
COUNTS = st.integers(1, 70)


def partitions(count: int) -> list[PartitionId]:
    return [PartitionId("orders" if number % 2 else "signals", number) for number in range(count)]


@given(nodes=NODES, count=COUNTS)
def test_every_partition_has_one_owner_and_no_node_more_than_its_share(
    nodes: list[str], count: int
) -> None:
    owners = assign(nodes, partitions(count))
    assert sorted(owners) == sorted(partitions(count))
    held = [list(owners.values()).count(node) for node in nodes]
    assert sum(held) == count
    assert max(held) - min(held) <= 1


@given(nodes=NODES, count=COUNTS, seed=st.integers())
def test_every_node_computes_the_same(nodes: list[str], count: int, seed: int) -> None:
    draw = random.Random(seed)
    shuffled_nodes, shuffled = nodes[:] + nodes[:1], partitions(count)
    draw.shuffle(shuffled_nodes)
    draw.shuffle(shuffled)
    assert assign(shuffled_nodes, shuffled) == assign(nodes, partitions(count))


@given(nodes=NODES, count=COUNTS)
def test_most_partitions_stay_where_they_are_when_a_node_goes(nodes: list[str], count: int) -> None:
    before = assign(nodes, partitions(count))
    after = assign(nodes[1:], partitions(count))
    if nodes[1:]:
        moved = [one for one in before if before[one] != after[one] and before[one] != nodes[0]]
        # Beside the partitions of the node that went, the caps move some; never nearly all.
        assert len(moved) <= max(count * 2 // 3, 2)


def test_without_a_node_nobody_owns_anything() -> None:
    assert assign([], partitions(3)) == {}


def test_a_split_that_stands_for_every_version() -> None:
    """Nodes of two versions run side by side while one is deployed: they must agree."""
    owners = assign(["a", "b", "c"], [PartitionId("orders", number) for number in range(8)])
    assert [owners[PartitionId("orders", number)] for number in range(8)] == list("bacaabcb")
