"""What labels teach: training, the model and its predictions, how far to trust it, the phases of a campaign.

Imports `labels` and the library; pure, so that a look and a simulation learn alike.
"""

from .geometry import Geometry
from .learner import train, training_fingerprint
from .model import Model
from .phase import Course, advance, balancing_factor, waits_for
from .predictions import Predictions
from .prelabels import confidence, fits, least_probability, prelabel
from .trust import Trust, measure_trust

__all__ = [
    "Course",
    "Geometry",
    "Model",
    "Predictions",
    "Trust",
    "advance",
    "balancing_factor",
    "confidence",
    "fits",
    "least_probability",
    "measure_trust",
    "prelabel",
    "train",
    "training_fingerprint",
    "waits_for",
]
