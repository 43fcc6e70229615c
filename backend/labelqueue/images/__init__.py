"""From an image's address to its vectors: fetching, decoding, the vision transformer, semantic patterns.

Imports only leaves and the library; torch and timm are loaded when an image is embedded.
"""

from .decoding import decode
from .embedder import Embedder
from .fetcher import ImageFetcher
from .pipeline import Embedded, Item, Model, embed_stream
from .rotation_network import RotationNet, train_rotation

__all__ = [
    "Embedded",
    "Embedder",
    "ImageFetcher",
    "Item",
    "Model",
    "RotationNet",
    "decode",
    "embed_stream",
    "train_rotation",
]
