"""The web process: Label Studio's ML-backend protocol and REST, who may call them, nothing that takes long.

Imports `admin`, `metrics` and what is below; never images, scikit-learn or torch.
"""

from .app import create_app

__all__ = ["create_app"]
