"""How often do the forecasts' 90 % bands hold, and how wide are they? Adds up what `labelqueue simulate` wrote.

Each campaign counts once for each number of labels at which a forecast was made and each later one up to twice as many.
Printed for every folder and strategy: how many forecasts, how many held what came on the test set, and the mean width.

    labelqueue simulate --images photos/ --labels labels.csv --strategy auto margin --budget 320 --output photos-out/
    python benchmarks/forecast.py photos-out/ …
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", type=Path, nargs="+", metavar="DIR", help="folder that simulate wrote to")
    rows: dict[tuple[str, str, str], list[tuple[bool, float]]] = defaultdict(list)
    campaigns: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for folder in parser.parse_args().outputs:
        with (folder / "forecasts.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                held = row["covered"] == "yes", float(row["high"]) - float(row["low"])
                for key in ((folder.name, row["strategy"]), ("all", "all")):
                    rows[(*key, row["measure"])].append(held)
                    campaigns[(*key, row["measure"])].add(f"{folder}/{row['strategy']}/{row['seed']}")
    print("data | strategy | measure | campaigns | forecasts | held | mean width in points")
    for key, found in sorted(rows.items()):
        held, width = np.mean(found, axis=0)
        figures = f"{len(campaigns[key])} | {len(found):,} | {held:.0%} | {100 * width:.0f}"
        print(" | ".join((*key, figures)))


if __name__ == "__main__":
    main()
