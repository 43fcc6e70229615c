"""Learning curves as CSV."""

import os
import subprocess
import sys

from labelqueue.simulation.curves import Point, write_curves
from labelqueue.simulation.scores import MULTI, SINGLE

POINTS = [Point("auto", 0, 10, (0.5, 0.75)), Point("auto", 0, 20, (0.7, 0.7))]


def test_curves_as_csv(tmp_path):
    write_curves(POINTS, SINGLE, tmp_path / "curves.csv")
    assert (tmp_path / "curves.csv").read_bytes() == (
        b"strategy,seed,labels,accuracy,balanced_accuracy\nauto,0,10,0.750000,0.500000\nauto,0,20,0.700000,0.700000\n"
    )


def test_the_columns_are_called_by_their_scores(tmp_path):
    write_curves(POINTS[:1], MULTI, tmp_path / "curves.csv")
    assert (tmp_path / "curves.csv").read_text() == (
        "strategy,seed,labels,average_precision,balanced_accuracy\nauto,0,10,0.500000,0.750000\n"
    )


def test_nothing_of_it_is_loaded_before_it_is_needed():
    code = (
        "import sys, labelqueue.simulation.curves, labelqueue.simulation.command;"
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'sklearn', 'scipy', 'torch', 'poolselect')))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=60).returncode == 0
