"""A machine's own copy of the embeddings: files that only grow, memory-mapped, with a ledger of whose rows are in them.

Knows neither Redis nor projects: who opens a copy says which blocks are wanted, and brings those that are missing.
"""

from .copy import Copy, sweep
from .rows import Rows

__all__ = ["Copy", "Rows", "sweep"]
