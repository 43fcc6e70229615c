"""`make chaos`: every storm one after the other on one scene, and a verdict on each; exit status 1 when one fails."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from chaos import report
from chaos.failures import failures, mixed
from chaos.fuzz import fuzz
from chaos.judge import Verdict
from chaos.kills import kills
from chaos.load import acknowledged, day, slow
from chaos.odd_images import images
from chaos.scene import Scene, raised
from chaos.webhooks import webhooks

ROUNDS = 30
# Each storm, given the scene and its share of what it does by default.
STORMS: tuple[tuple[str, Callable[[Scene, float], Verdict]], ...] = (
    ("acks", lambda scene, share: acknowledged(scene, seconds=30 * share)),
    ("slow", lambda scene, share: slow(scene, seconds=30 * share)),
    ("webhooks", lambda scene, share: webhooks(scene, rounds=round(ROUNDS * share))),
    ("failures", lambda scene, share: failures(scene, seconds=4 * min(1, share))),
    ("failures", lambda scene, share: mixed(scene, seconds=20 * share)),
    ("fuzz", lambda scene, share: fuzz(scene, count=round(20_000 * share))),
    ("images", lambda scene, share: images(scene, count=round(200 * share))),
    ("day", lambda scene, share: day(scene, minutes=4 * share)),
    ("kills", lambda scene, share: kills(scene, count=round(60 * share), workers=1)),
    ("kills", lambda scene, share: kills(scene, count=round(60 * share), workers=2)),
)


def main() -> int:
    """Run the storms that are asked for."""
    names = ", ".join(dict(STORMS))
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--only", default="", help=f"comma-separated: {names}")
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help="of webhooks (30); all else, such as 60 kills, grows and shrinks with it",
    )
    parser.add_argument("--json", type=Path, help="write the verdicts there as well")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else [*dict(STORMS)]
    if strange := set(chosen) - dict(STORMS).keys():
        parser.error(f"there is no storm {', '.join(sorted(strange))}; there are {names}")
    if arguments.rounds < 1:
        parser.error(f"{arguments.rounds} rounds are none: 1 is the least")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended
    told = f" ROUNDS={arguments.rounds}" * (arguments.rounds != ROUNDS) + f" ONLY={arguments.only}" * bool(
        arguments.only
    )
    about = report.circumstances(f"make chaos{told}")
    verdicts: list[Verdict] = []
    began = time.monotonic()
    with raised() as scene:
        for name, storm in STORMS:
            if name in chosen:
                verdicts.append(storm(scene, arguments.rounds / ROUNDS))
                print(f"{(time.monotonic() - began) / 60:5.1f} min  {report.line(verdicts[-1])}", flush=True)
    print(f"\n{about}\n\n{report.table(verdicts)}")
    if arguments.json:
        arguments.json.write_text(report.document(verdicts, about))
    return int(any(verdict.over for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
