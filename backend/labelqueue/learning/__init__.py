"""What labels teach: training, the model and its predictions, how far to trust it, the phases of a campaign.

Imports `labels` and the library; pure, so that a look and a simulation learn alike.
"""

from .accuracy import ControlRecord, report, wilson
from .geometry import Clusters, Geometry, digest_of
from .learner import Searched, train, training_fingerprint
from .lesson import Lesson, Recall
from .model import Model
from .phase import Course, advance, balancing_factor, waits_for
from .predictions import Predictions, StoredPredictions
from .prelabels import blank_share, confidence, fits, is_blank, least_probability, prelabel
from .random_controls import control_order, is_control, places_for, served_in_turn, shares
from .trust import Trust, measure_trust

__all__ = [
    "Clusters",
    "ControlRecord",
    "Course",
    "Geometry",
    "Lesson",
    "Model",
    "Predictions",
    "Recall",
    "Searched",
    "StoredPredictions",
    "Trust",
    "advance",
    "balancing_factor",
    "blank_share",
    "confidence",
    "control_order",
    "digest_of",
    "fits",
    "is_blank",
    "is_control",
    "least_probability",
    "measure_trust",
    "places_for",
    "prelabel",
    "report",
    "served_in_turn",
    "shares",
    "train",
    "training_fingerprint",
    "waits_for",
    "wilson",
]
