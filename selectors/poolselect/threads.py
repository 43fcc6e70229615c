"""One BLAS thread while an order is computed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_users = 0
_limiter: Any = None


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit BLAS to one thread inside the block, then put the old limits back.

    An order must be the same bit for bit however many threads the machine allows. A threaded matrix product may cut its
    operands at places that depend on the number of threads; other kernels then handle the pieces' edges, and the last
    bit of a similarity can change: enough to turn an acceptance around, and with it every later pick. Not every BLAS
    does so (OpenBLAS on two cores did not, when tried), but none promises not to. The products of the sampler are small
    or bound by memory, so one thread costs little.

    Notes
    -----
    The limit belongs to the process. Blocks may overlap in several Python threads: the first one in sets the limit
    and the last one out removes it.
    """
    global _users, _limiter
    with _lock:
        if _users == 0:
            _limiter = ThreadpoolController().limit(limits=1, user_api="blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _limiter.restore_original_limits()
                _limiter = None
