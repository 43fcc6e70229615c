"""Child processes that do not outlive us."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from typing import IO, Any

__all__ = ["start_child"]

PR_SET_PDEATHSIG = 1


def start_child(command: list[str], *, output: int | IO[Any] | None = None) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own.

    Ctrl-C in a terminal then reaches its parent alone, which stops its children in order; and if the parent is killed,
    Linux ends the child, so that no server is left behind on its port or its data.

    Parameters
    ----------
    command : list of str
        Program and arguments.
    output : int or file, optional
        Where standard output and error go; inherited when not given.
    """
    # Loaded before the fork: only the bare call may happen between fork and exec.
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def die_with_parent() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
