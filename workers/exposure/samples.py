"""Figures of the exporter, checked against the table of metrics as they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.metrics import FLEET
from shared.settings import Settings
from workers.alerts import Sample


class Section(NamedTuple):
    """What is read together. servers: without one of them it cannot be read. read: opens its own
    connections and closes them; raises FleetError or a driver's error.
    """

    servers: tuple[str, ...]
    read: Callable[[Settings], Iterable[Sample]]


def tell(name: str, value: float, **labels: object) -> Sample:
    """KeyError: not in FLEET. ValueError: labels differ from the row's."""
    wanted = FLEET[name].labels
    if tuple(sorted(labels)) != tuple(sorted(wanted)):
        raise ValueError(f"{name}: labels {sorted(labels)}, {sorted(wanted)} declared")
    return Sample(name, {label: str(labels[label]) for label in wanted}, float(value))


class Told(Collector):
    """The newest samples in a registry: a scrape sees one collection or another, never half."""

    def __init__(self, samples: Callable[[], Iterable[Sample]]) -> None:
        self._samples = samples

    def collect(self) -> Iterable[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for sample in self._samples():
            family = families.get(sample.metric)
            if family is None:
                row = FLEET[sample.metric]
                family = GaugeMetricFamily(sample.metric, row.help, labels=row.labels)
                families[sample.metric] = family
            family.add_metric(_values(sample.labels), sample.value)
        return families.values()


def _values(labels: Mapping[str, str]) -> list[str]:
    return list(labels.values())  # in the row's order: `tell` made them so
