"""When to stop: the learning curve, its forecast, and hints that more labels change nothing.

Imports `learning` and `labels`; pure, so that a look and a simulation measure alike.
"""

from .curve import LEAST, SAMPLE, Mark, due, measure
from .forecast import MEASURES, Forecast
from .hints import Step, hints, step
from .telling import learning_curve, wanted_share

__all__ = [
    "LEAST",
    "MEASURES",
    "SAMPLE",
    "Forecast",
    "Mark",
    "Step",
    "due",
    "hints",
    "learning_curve",
    "measure",
    "step",
    "wanted_share",
]
