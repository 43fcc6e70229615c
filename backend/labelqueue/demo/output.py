"""What the demo prints: steps and progress on standard error, a result table on standard output."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from ..progress import Progress, write_line

__all__ = ["Output", "table"]


def table(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return rows as aligned lines no longer than `width`; the last column is cut."""
    sizes = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        start = "".join(f"{cell:<{size}}  " for cell, size in zip(row, sizes, strict=False))
        room = max(width - len(start), 10)
        last = row[-1] if len(row[-1]) <= room else row[-1][: room - 1] + "…"
        lines.append((start + last).rstrip())
    return lines


class Output:
    """Steps for people, each with notes and at most one bar that is gone when the step is done.

    Parameters
    ----------
    stream : TextIO, default sys.stderr
        Where everything goes; what is no terminal gets plain lines.
    environ : mapping, default os.environ
        NO_COLOR, when it is set and not empty, switches colors off.
    """

    def __init__(self, stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._stream = sys.stderr if stream is None else stream
        self._color = self._stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        self._began = time.monotonic()

    def bold(self, text: str) -> str:
        """Return `text`, bold where that is wanted."""
        return f"\033[1m{text}\033[0m" if self._color else text

    def step(self, text: str) -> None:
        """Begin a step."""
        self._began = time.monotonic()
        write_line(self.bold(text), self._stream)

    def note(self, text: str) -> None:
        """Say something inside a step, above its bar."""
        write_line(f"  {text}", self._stream)

    def done(self, text: str) -> None:
        """End a step with how long it took."""
        self.note(f"{text} ({time.monotonic() - self._began:.0f} s)")

    def progress(self, total: int, noun: str, *, done: int = 0) -> Progress:
        """Return the bar of a step that counts; see `Progress`."""
        return Progress(total, noun, done=done, stream=self._stream, leave=False, indent="  ")

    def waiting(self) -> Progress:
        """Return what shows the seconds of a step of unknown length: `reach` them."""
        return Progress(None, "s", stream=self._stream, leave=False, indent="  ")
