"""How far a long loop has come, on standard error: a bar for people, a line now and then for log files."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, TextIO

__all__ = ["Progress", "write_line"]

INTERVAL = 10.0  # seconds between lines where there is no terminal


def write_line(line: str, stream: TextIO | None = None) -> None:
    """Write a line, by default to standard error; a bar that is open there steps aside for it."""
    stream = sys.stderr if stream is None else stream
    if stream.isatty():
        from tqdm import tqdm

        tqdm.write(line, file=stream)
    else:
        stream.write(f"{line}\n")
    stream.flush()


class Progress:
    """Context manager that counts up to a total.

    Parameters
    ----------
    total : int or None
        What counts as done; None when nobody knows, then the count is all that is shown.
    noun : str
        What is counted, such as ``images``.
    enabled : bool, default True
        False: say nothing.
    done : int, default 0
        How many were there before; they do not count for the speed.
    stream : TextIO, optional
        Default: standard error.
    leave : bool, default True
        Whether the finished count stays to be read; False for callers who say themselves what came of it.
    indent : str, default ""
        Put before everything.

    Attributes
    ----------
    done : int
        The count so far.
    """

    def __init__(
        self,
        total: int | None,
        noun: str,
        *,
        enabled: bool = True,
        done: int = 0,
        stream: TextIO | None = None,
        leave: bool = True,
        indent: str = "",
    ) -> None:
        self._total, self._noun, self._leave, self._indent = total, noun, leave, indent
        self._enabled = enabled and total != 0
        self._stream = sys.stderr if stream is None else stream
        self._before = self.done = done
        self._bar: Any = None
        self._said = self._started = time.monotonic()

    def __enter__(self) -> Progress:
        if self._enabled and self._stream.isatty():
            from tqdm import tqdm

            shown = "{n_fmt}{unit}" if self._total is None else "{l_bar}{bar}{r_bar}"
            self._bar = tqdm(
                total=self._total,
                initial=self.done,
                unit=f" {self._noun}",
                bar_format=self._indent + shown,
                leave=self._leave,
                file=self._stream,
                dynamic_ncols=True,
                miniters=0,  # steps differ in length: only the time decides when to draw
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, count: int) -> None:
        """Count some more."""
        before, self.done = self.done, self.done + count
        if self._bar is not None:
            self._bar.update(count)
        elif self._enabled:
            now = time.monotonic()
            finished = self._leave and self._total is not None and before < self._total <= self.done
            if finished or now - self._said >= INTERVAL:
                self._said = now
                write_line(self._indent + self._line(now - self._started), self._stream)

    def reach(self, done: float) -> None:
        """Set the count; it may fall, and one that stays shows that the loop is alive."""
        self.add(int(done) - self.done)

    def _line(self, elapsed: float) -> str:
        if self._total is None:
            return f"{self.done:,} {self._noun}"
        speed = (self.done - self._before) / max(elapsed, 1e-3)
        told = f"{self.done:,} of {self._total:,} {self._noun}, {speed:.0f}/s"
        left = self._total - self.done
        return f"{told}, {_duration(left / speed)} left" if left > 0 and speed > 0 else told


def _duration(seconds: float) -> str:
    """Return a time for people, two digits of it or so."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
