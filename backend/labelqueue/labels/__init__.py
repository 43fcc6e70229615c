"""What is asked of an image and what people answered: label configs, annotations, and the labels they come to.

Imports only leaves; knows neither Label Studio's server nor our own state.
"""

from .annotations import ANNOTATED, SKIPPED, UNLABELED, Annotation, read_annotation, state_of
from .label_config import Target, parse_label_config
from .results import importable, result_of
from .task_data import NO_VALUE, field_value, image_uri
from .values import Value, classes_of, judge
from .verdicts import Labels, Verdicts

__all__ = [
    "ANNOTATED",
    "NO_VALUE",
    "SKIPPED",
    "UNLABELED",
    "Annotation",
    "Labels",
    "Target",
    "Value",
    "Verdicts",
    "classes_of",
    "field_value",
    "image_uri",
    "importable",
    "judge",
    "parse_label_config",
    "read_annotation",
    "result_of",
    "state_of",
]
