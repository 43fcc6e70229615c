"""The web process: Label Studio's ML-backend protocol and REST, who may call them, nothing that takes long.

Imports `admin`, `jobs`, `state`, `learning` and `labels`; never images, scikit-learn or torch.
"""

from .app import create_app

__all__ = ["create_app"]
