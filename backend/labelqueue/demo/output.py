"""What the demo prints: steps and progress on standard error, a result table on standard output."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

__all__ = ["Console", "table"]

BAR = 30  # characters
PLAIN_EVERY = 10.0  # seconds between two lines of one step when the output is not a terminal


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


class Console:
    """Progress for people: one line that is rewritten on a terminal, now and then a plain line elsewhere.

    Parameters
    ----------
    stream : TextIO, default sys.stderr
        Where progress goes.
    environ : mapping, default os.environ
        NO_COLOR, when it is set and not empty, switches colours off.
    """

    def __init__(self, stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._stream = sys.stderr if stream is None else stream
        self._tty = self._stream.isatty()
        self._colour = self._tty and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        self._open = False  # whether a line waits to be rewritten
        self._began = self._spoken = time.monotonic()

    def bold(self, text: str) -> str:
        """Return `text`, bold where that is wanted."""
        return f"\033[1m{text}\033[0m" if self._colour else text

    def step(self, text: str) -> None:
        """Begin a step."""
        self._close()
        self._began = self._spoken = time.monotonic()
        self._write(f"{self.bold(text)}\n")

    def note(self, text: str) -> None:
        """Say something inside a step."""
        self._close()
        self._write(f"  {text}\n")

    def done(self, text: str) -> None:
        """End a step with how long it took."""
        self.note(f"{text} ({time.monotonic() - self._began:.0f} s)")

    def waiting(self, seconds: float) -> None:
        """Show that a step of unknown length goes on."""
        self._progress(f"{seconds:.0f} s")

    def progress(self, done: int, total: int, what: str) -> None:
        """Show `done` of `total`."""
        share = done / total if total else 1.0
        filled = int(BAR * share)
        bar = f"[{'#' * filled}{'.' * (BAR - filled)}] " if self._tty else ""
        self._progress(f"{bar}{done} of {total} {what}")

    def _progress(self, text: str) -> None:
        if self._tty:
            width = shutil.get_terminal_size().columns
            self._write("\r\033[K" + f"  {text}"[: width - 1])
            self._open = True
        elif time.monotonic() - self._spoken >= PLAIN_EVERY:
            self._spoken = time.monotonic()
            self._write(f"  {text}\n")

    def _close(self) -> None:
        if self._open:
            self._write("\r\033[K")
            self._open = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
