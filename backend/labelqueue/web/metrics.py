"""`/metrics` for Prometheus: what was counted and what is looked up, as prometheus-client writes it.

prometheus-client's own counters, and its sum over processes, see one machine at most; here they come from Redis.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import product

from flask import Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from .. import __version__
from ..metrics import flush, gauges, kept, projects_of
from ..serving import context
from ..state import Redis
from ..telemetry import COUNTED, METRICS, PREFIX, PROJECT, SUM, Counted, Metric

__all__ = ["metrics"]

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


def metrics() -> Response:
    """Answer every metric of every project of this Label Studio; the same from whichever web process is asked."""
    here = context()
    with suppress(RedisError):  # what is away here fails below, and says so
        flush(here.patient_store)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Standing(here.patient_store, here.deployment.label_studio_url))
    encode, kind = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(registry), content_type=kind)


class _Standing(Collector):
    """Everything of the table, looked up once."""

    def __init__(self, store: Redis, origin: str) -> None:
        self._store, self._origin = store, origin

    def describe(self) -> Iterator[Family]:
        """Yield nothing: registering looks nothing up."""
        return iter(())

    def collect(self) -> Iterator[Family]:
        """Yield the families in the order of the table."""
        projects = projects_of(self._store, self._origin)
        counted = kept(self._store, projects)
        found: dict[str, list[tuple[tuple[str, ...], float]]] = defaultdict(list)
        for gauge in gauges(self._store, projects):
            found[gauge.metric].append((gauge.labels, gauge.value))
        found["info"].append(((__version__,), 1.0))
        keys = {project.key: str(project.ref.id) for project in projects}
        for metric in METRICS.values():
            name, labels = PREFIX + metric.name, list(metric.labels)
            if metric.kind == "gauge":
                gauge_family = GaugeMetricFamily(name, metric.help, labels=labels)
                for values, value in found[metric.name]:
                    gauge_family.add_metric(values, value)
                yield gauge_family
            elif metric.kind == "counter":
                counter = CounterMetricFamily(name, metric.help, labels=labels)
                for key, own in product(keys if PROJECT in metric.labels else [""], _combined(metric)):
                    values = (keys[key], *own) if key else own
                    counter.add_metric(values, counted.get(Counted(key, metric.name, COUNTED, own), 0))
                yield counter
            else:
                histogram = HistogramMetricFamily(name, metric.help)
                buckets, total = _histogram(metric, counted)
                histogram.add_metric([], buckets, total)
                yield histogram


def _combined(metric: Metric) -> Iterator[tuple[str, ...]]:
    """Yield every combination of the labels besides the project: a counter that begins at 0 shows its first step."""
    return product(*(metric.labels[name] for name in metric.others))


def _histogram(metric: Metric, counted: Mapping[Counted, float]) -> tuple[Sequence[tuple[str, float]], float]:
    """Return the buckets, each with all that lasted no longer, and the sum in seconds.

    A bound that this version does not have counts in the next larger one.
    """
    numbers = {what.part: number for what, number in counted.items() if what.metric == metric.name}
    total = numbers.pop(SUM, 0.0)
    buckets = [(bound, sum(n for part, n in numbers.items() if float(part) <= float(bound))) for bound in metric.bounds]
    return buckets, total
