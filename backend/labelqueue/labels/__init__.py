"""What is asked of an image and what people answered: label configs, annotations, and the labels they come to.

Imports only leaves; knows neither Label Studio's server nor our own state.
"""

from .annotations import (
    ANNOTATED,
    SKIPPED,
    UNLABELED,
    Annotation,
    Value,
    classes_of,
    read_annotation,
    state_of,
    unknown_labels,
    value_of,
)
from .label_config import Target, parse_label_config
from .results import result_of

__all__ = [
    "ANNOTATED",
    "SKIPPED",
    "UNLABELED",
    "Annotation",
    "Target",
    "Value",
    "classes_of",
    "parse_label_config",
    "read_annotation",
    "result_of",
    "state_of",
    "unknown_labels",
    "value_of",
]
