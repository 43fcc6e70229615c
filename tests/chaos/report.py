"""What storms came to: progress as they end, a table in Markdown, JSON."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from chaos.judge import LIMITS, Verdict

# Columns: heading, the figure under it, how it is written.
COLUMNS = (
    ("labels", "labels", "{:.0f}"),
    ("known after", "known_after_s", "{:.0f} s"),
    ("slowest label", "slowest_s", "{:.0f} s"),
    ("unknown", "unknown", "{:.0f}"),
    ("wrong", "wrong", "{:.0f}"),
    ("twice", "twice", "{:.0f}"),
    ("500", "500", "{:.0f}"),
    ("stall", "stall_s", "{:.0f} s"),
    ("web", "web_mb", "{:.0f} MB"),
    ("p99", "p99_ms", "{:.0f} ms"),
    ("longest", "longest_ms", "{:.0f} ms"),
)


def line(verdict: Verdict) -> str:
    """Return what is told as soon as a storm ended."""
    told = ", ".join(f"{name} {verdict.figures[key]:.3g}" for name, key, _ in COLUMNS if key in verdict.figures)
    return "\n".join([f"{_word(verdict)}: {verdict.storm}: {verdict.did}; {told}", *(f"    {w}" for w in verdict.over)])


def table(verdicts: Sequence[Verdict]) -> str:
    """Return all of them as a table in Markdown, the limits last."""
    heads = ["storm", "what was done", *(head for head, *_ in COLUMNS), "verdict"]
    rows = [heads, ["---"] * len(heads)]
    for one in verdicts:
        cells = [form.format(one.figures[key]) if key in one.figures else "" for _, key, form in COLUMNS]
        rows.append([one.storm, one.did, *cells, _word(one)])
    limits = [form.format(LIMITS[key]) if key in LIMITS else "" for _, key, form in COLUMNS]
    rows.append(["at most", "", *limits, ""])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def circumstances(command: str) -> str:
    """Return the command, the machine and the date, for whoever reads the table later."""
    load = os.getloadavg()[0]
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return (
        f"`{command}`, {day}, {os.cpu_count()} cores ({_processor()}), Python {platform.python_version()}, load "
        f"{load:.1f} at the beginning"
    )


def document(verdicts: Sequence[Verdict], about: str) -> str:
    """Return the verdicts with what is theirs, as JSON."""
    rows = [{**asdict(one), "holds": not one.over} for one in verdicts]
    return json.dumps({"about": about, "limits": LIMITS, "storms": rows}, indent=1)


def _word(verdict: Verdict) -> str:
    return "fails" if verdict.over else "holds"


def _processor() -> str:
    with Path("/proc/cpuinfo").open() as file:
        for row in file:
            if row.startswith("model name"):
                return row.split(":", 1)[1].strip()
    return platform.machine()
