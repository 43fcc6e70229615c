"""How far a long loop has come, on standard error: a bar for people, a line now and then for log files."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

__all__ = ["Progress"]

INTERVAL = 10.0  # seconds between lines where there is no terminal


class Progress:
    """Context manager that counts up to a total.

    Parameters
    ----------
    total : int
        What counts as done.
    noun : str
        What is counted, such as ``images``.
    enabled : bool, default True
        False: say nothing.
    """

    def __init__(self, total: int, noun: str, *, enabled: bool = True) -> None:
        self._total, self._noun, self._enabled = total, noun, enabled and total > 0
        self.done = 0
        self._bar: Any = None
        self._said = self._started = time.monotonic()

    def __enter__(self) -> Progress:
        if self._enabled and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self._total, unit=f" {self._noun}", file=sys.stderr, dynamic_ncols=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, count: int) -> None:
        """Count some more."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._enabled:
            now = time.monotonic()
            if now - self._said >= INTERVAL or self.done >= self._total:
                self._said = now
                speed = self.done / max(now - self._started, 1e-3)
                print(f"{self.done:,} of {self._total:,} {self._noun}, {speed:.0f}/s", file=sys.stderr, flush=True)
