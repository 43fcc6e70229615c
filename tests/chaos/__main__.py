"""`make chaos`: every storm one after the other on one scene, and a verdict on each; exit status 1 when one fails."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from chaos import report
from chaos.failures import failures
from chaos.fuzz import fuzz
from chaos.judge import Verdict
from chaos.kills import kills
from chaos.load import acknowledged, day, slow
from chaos.odd_images import images
from chaos.scene import Scene, raised
from chaos.webhooks import webhooks

# Name to the storms under it, each given how large it is: 1 as here, 0.1 a tenth of it.
STORMS: dict[str, list[Callable[[Scene, float], Verdict]]] = {
    "acks": [lambda scene, size: acknowledged(scene, seconds=30 * size)],
    "slow": [lambda scene, size: slow(scene, seconds=30 * size)],
    "webhooks": [lambda scene, size: webhooks(scene, rounds=round(30 * size))],
    "failures": [lambda scene, size: failures(scene, seconds=4 * min(1, size))],
    "fuzz": [lambda scene, size: fuzz(scene, count=round(20_000 * size))],
    "images": [lambda scene, size: images(scene, count=round(200 * size))],
    "day": [lambda scene, size: day(scene, minutes=4 * size)],
    "kills": [
        partial(lambda workers, scene, size: kills(scene, count=round(60 * size), workers=workers), n) for n in (1, 2)
    ],
}


def main() -> int:
    """Run the storms that are asked for."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--only", default="", help=f"comma-separated: {', '.join(STORMS)}")
    parser.add_argument("--size", type=float, default=1, help="1: 60 kills, 30 rounds, 20,000 calls and so on; or less")
    parser.add_argument("--json", type=Path, help="write the verdicts there as well")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else [*STORMS]
    if strange := set(chosen) - STORMS.keys():
        parser.error(f"there is no storm {', '.join(sorted(strange))}; there are {', '.join(STORMS)}")
    about = report.circumstances(f"make chaos{f' ONLY={arguments.only}' * bool(arguments.only)}")
    verdicts: list[Verdict] = []
    began = time.monotonic()
    with raised() as scene:
        for storm in (storm for name in chosen for storm in STORMS[name]):
            verdicts.append(storm(scene, arguments.size))
            print(f"{(time.monotonic() - began) / 60:5.1f} min  {report.line(verdicts[-1])}", flush=True)
    print(f"\n{about}\n\n{report.table(verdicts)}")
    if arguments.json:
        arguments.json.write_text(report.document(verdicts, about))
    return int(any(verdict.over for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
