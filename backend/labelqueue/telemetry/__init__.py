"""What the service tells those who run it: what is counted, and how the log is written.

Imports leaves only. Counts gather in memory here; `metrics` keeps them in Redis.
"""

from .counters import COUNTED, COUNTERS, SUM, Counted, count, observe, timed, uncounted
from .logs import say, set_up_logs, writes_json
from .table import METRICS, PREFIX, PROJECT, Metric, metrics_table
from .topic import about, forget, note

__all__ = [
    "COUNTED",
    "COUNTERS",
    "METRICS",
    "PREFIX",
    "PROJECT",
    "SUM",
    "Counted",
    "Metric",
    "about",
    "count",
    "forget",
    "metrics_table",
    "note",
    "observe",
    "say",
    "set_up_logs",
    "timed",
    "uncounted",
    "writes_json",
]
