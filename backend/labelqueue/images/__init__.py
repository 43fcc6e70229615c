"""From an image's pixels to its vectors: the vision transformer, semantic patterns.

Imports `pixels`, leaves and the library; torch and timm are loaded when an image is embedded.
"""

from .embedder import Embedder
from .fingerprint import ModelCard
from .listing import SUFFIXES, describe_left_out, list_images
from .pipeline import Embedded, Item, Model, embed_stream, read_ahead
from .precision import FLOAT32
from .rotation_network import RotationNet, train_rotation
from .weights import weights_file

__all__ = [
    "FLOAT32",
    "SUFFIXES",
    "Embedded",
    "Embedder",
    "Item",
    "Model",
    "ModelCard",
    "RotationNet",
    "describe_left_out",
    "embed_stream",
    "list_images",
    "read_ahead",
    "train_rotation",
    "weights_file",
]
