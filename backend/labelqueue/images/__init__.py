"""From an image's bytes to its vectors: decoding, the vision transformer, semantic patterns.

Imports `transport`, leaves and the library; torch and timm are loaded when an image is embedded, pydicom when it is a
DICOM file.
"""

from .decoding import decode
from .embedder import Embedder
from .fingerprint import ModelCard
from .listing import SUFFIXES, describe_left_out, list_images
from .pipeline import Embedded, Item, Model, embed_stream
from .rotation_network import RotationNet, train_rotation
from .weights import weights_file

__all__ = [
    "SUFFIXES",
    "Embedded",
    "Embedder",
    "Item",
    "Model",
    "ModelCard",
    "RotationNet",
    "decode",
    "describe_left_out",
    "embed_stream",
    "list_images",
    "train_rotation",
    "weights_file",
]
