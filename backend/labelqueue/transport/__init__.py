"""What Label Studio's client and the reading of images share: whose certificates are trusted, and how a connection that
failed is told.

Imports only leaves.
"""

from .certificates import authorities, distrust
from .failures import name_url, reason

__all__ = ["authorities", "distrust", "name_url", "reason"]
