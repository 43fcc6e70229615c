"""What is counted, kept in Redis over all processes and machines, and what is looked up when somebody asks.

Imports `jobs` and `state`, and `telemetry`, which counts; how Prometheus gets it is in `web`.
"""

from .gauge import Gauge, gauges, projects_of
from .ledger import Keeper, flush, kept

__all__ = ["Gauge", "Keeper", "flush", "gauges", "kept", "projects_of"]
