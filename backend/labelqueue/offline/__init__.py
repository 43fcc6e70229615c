"""Work without Label Studio: choosing from a folder or a collection, embedding, training BAL's pretext features.

Imports `collection` and `images`; for a project's pretext features also `worker`, `jobs` and `state`.
"""

from .arguments import add_model_arguments, at_least, chosen_model, chosen_size
from .folder import File, find_images
from .select import embed_folder, load_embedder

__all__ = [
    "File",
    "add_model_arguments",
    "at_least",
    "chosen_model",
    "chosen_size",
    "embed_folder",
    "find_images",
    "load_embedder",
]
