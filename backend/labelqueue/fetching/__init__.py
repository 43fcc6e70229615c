"""From an image's address to its bytes: from Label Studio under any of its names, from its storages, from the web.

Imports `transport` and leaves.
"""

from .fetcher import ImageFetcher
from .own_addresses import cloud_address

__all__ = ["ImageFetcher", "cloud_address"]
