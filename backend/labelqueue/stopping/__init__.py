"""When to stop: the learning curve, its forecast, and hints that more labels change nothing.

Imports `learning` and `labels`; pure, so that a look and a simulation measure alike.
"""

from .curve import Measurement
from .forecast import MEASURES, Forecast
from .telling import learning_curve, wanted_share
from .watch import Said, Watch, measurement_of

__all__ = ["MEASURES", "Forecast", "Measurement", "Said", "Watch", "learning_curve", "measurement_of", "wanted_share"]
