"""Every metric in one table: it is what is counted, what `/metrics` shows and what docs/metrics.md says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

__all__ = ["METRICS", "PREFIX", "PROJECT", "Metric", "metrics_table"]

PREFIX = "labelqueue_"
PROJECT = "project"  # label of what belongs to a project: its id in Label Studio
MOMENTS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds; Label Studio waits 1
WORK = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
INFINITE = "+Inf"

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    Attributes
    ----------
    name : str
        Without `PREFIX`.
    kind : {'counter', 'gauge', 'histogram'}
        Counters and histograms are counted where things happen and kept; gauges are looked up when somebody asks.
    help : str
        One sentence for people.
    labels : mapping of str to tuple of str
        Label to every value it may have; the last one also stands for any other. `PROJECT` has none here.
    buckets : tuple of float
        Upper bounds in seconds, ascending, of a histogram.
    """

    name: str
    kind: Kind
    help: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()

    @cached_property
    def bounds(self) -> tuple[str, ...]:
        """The buckets' bounds as Prometheus writes them."""
        return (*(f"{bound:g}" if bound % 1 else f"{bound:.1f}" for bound in self.buckets), INFINITE)

    @cached_property
    def others(self) -> tuple[str, ...]:
        """Its labels besides the project."""
        return tuple(label for label in self.labels if label != PROJECT)

    def values_of(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Return the values of the labels besides the project, each one that the table names."""
        if labels.keys() != set(self.others):
            raise TypeError(f"{self.name} has the labels {self.others}, not {tuple(labels)}")
        allowed = self.labels
        return tuple(labels[name] if labels[name] in allowed[name] else allowed[name][-1] for name in self.others)


OF_PROJECT: dict[str, tuple[str, ...]] = {PROJECT: ()}
EVENTS = (
    "TASKS_CREATED",
    "TASKS_DELETED",
    "ANNOTATION_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATIONS_DELETED",
    "PROJECT_UPDATED",
    "START_TRAINING",
    "other",
)
QUEUES = {"queue": ("tend", "page", "embed", "page-slow")}

_ROWS = (
    Metric("info", "gauge", "always 1; the version of the web process that answers", {"version": ()}),
    Metric(
        "events_total",
        "counter",
        "calls of the webhook: accepted (kept, and acted on), ignored (an action that nobody needs), refused (a "
        "stranger, or too large), malformed, or failed (Redis did not take it: the next reading finds what it told)",
        {"kind": EVENTS, "outcome": ("accepted", "ignored", "refused", "malformed", "failed")},
    ),
    Metric(
        "acknowledgement_seconds",
        "histogram",
        "from an event's last byte to our answer; Label Studio waits one second",
        buckets=MOMENTS,
    ),
    Metric("events_waiting", "gauge", "events that no look has acted on yet", OF_PROJECT),
    Metric("events_oldest_seconds", "gauge", "age of the oldest of them, 0 when none waits", OF_PROJECT),
    Metric("queue_jobs", "gauge", "jobs that wait, by queue", QUEUES),
    Metric("queue_oldest_seconds", "gauge", "how long the oldest of them waits, 0 when none does", QUEUES),
    Metric("workers", "gauge", "workers that gave a sign of life within 15 s", {"kind": ("tending", "embedding")}),
    Metric(
        "looks_total",
        "counter",
        "looks at a project: done, failed (Label Studio or Redis was away, say; it is tried again), or busy (another "
        "worker was at it)",
        {**OF_PROJECT, "outcome": ("done", "failed", "busy")},
    ),
    Metric("look_seconds", "histogram", "one look: read, decide, write", buckets=WORK),
    Metric("training_seconds", "histogram", "one training of a model", buckets=WORK),
    Metric("ordering_seconds", "histogram", "ranking for one new order or refill", buckets=WORK),
    Metric(
        "orders_total",
        "counter",
        "what was published: new orders, refills of the live one, and earlier orders made live again",
        {**OF_PROJECT, "kind": ("new", "refill", "again")},
    ),
    Metric("order_age_seconds", "gauge", "since the live order went live", OF_PROJECT),
    Metric("head_left", "gauge", "tasks of the live order that can still be served, as of the last look", OF_PROJECT),
    Metric(
        "repairs_total",
        "counter",
        "differences that no event had told of and that reading Label Studio found and repaired (task, label, "
        "deletion, webhook, version, order), and work taken back from dead workers (shard, look)",
        {**OF_PROJECT, "kind": ("task", "label", "deletion", "webhook", "version", "order", "shard", "look")},
    ),
    Metric("tasks", "gauge", "tasks of the project", OF_PROJECT),
    Metric("tasks_embedded", "gauge", "tasks whose image is embedded by the model in use", OF_PROJECT),
    Metric("labels", "gauge", "labels that the model can learn from", OF_PROJECT),
    Metric(
        "images_total",
        "counter",
        "images that went through embedding: embedded, bad (put into quarantine), or again (their server failed, and "
        "they are tried again)",
        {**OF_PROJECT, "outcome": ("embedded", "bad", "again")},
    ),
    Metric("shard_seconds", "histogram", "embedding one shard, of two minibatches (32 images on a CPU)", buckets=WORK),
    Metric("images_waiting", "gauge", "images that wait to be embedded, or are at a worker", OF_PROJECT),
    Metric("images_quarantined", "gauge", "images that cannot be used", OF_PROJECT),
    Metric("slow_servers", "gauge", "servers of images that are left alone for a while"),
    Metric(
        "label_studio_calls_total",
        "counter",
        "requests to Label Studio by the class of its answer; timeout and unanswered: there was none",
        {
            "method": ("GET", "POST", "PATCH", "DELETE", "other"),
            "outcome": ("2xx", "3xx", "4xx", "5xx", "timeout", "unanswered"),
        },
    ),
    Metric("label_studio_call_seconds", "histogram", "one request to Label Studio, retries included", buckets=WORK),
    Metric("accuracy_ratio", "gauge", "share of random controls on which the model was right", OF_PROJECT),
    Metric("accuracy_low_ratio", "gauge", "lower end of its 95 % interval, from 30 controls on", OF_PROJECT),
    Metric("accuracy_high_ratio", "gauge", "upper end of its 95 % interval, from 30 controls on", OF_PROJECT),
    Metric("accuracy_controls", "gauge", "labeled random controls that it is measured on", OF_PROJECT),
    Metric(
        "paused",
        "gauge",
        "1 while the project is paused or set aside, else 0",
        OF_PROJECT,
    ),
    Metric("failing", "gauge", "1 while `labelqueue status` shows an error of the project, else 0", OF_PROJECT),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ROWS}


def metrics_table() -> str:
    """Return the table of every metric as Markdown."""
    lines = ["| metric | kind | labels | what it says |", "|---|---|---|---|"]
    for metric in METRICS.values():
        labels = [f"`{name}`{': ' * bool(values)}{', '.join(values)}" for name, values in metric.labels.items()]
        lines.append(f"| `{PREFIX}{metric.name}` | {metric.kind} | {'; '.join(labels)} | {metric.help} |")
    return "\n".join(lines) + "\n"
