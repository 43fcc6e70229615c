"""The public surface is a promise, and torch and scikit-learn stay outside until they are asked for."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import poolselect

SHELF = Path(poolselect.__file__).resolve().parents[1]
MODULES = sorted(f"poolselect.{module.name}" for module in pkgutil.iter_modules(poolselect.__path__))


def test_all_is_sorted_and_importable():
    assert poolselect.__all__ == sorted(poolselect.__all__)
    for name in poolselect.__all__:
        assert getattr(poolselect, name).__doc__, name


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = poolselect.no_such_thing


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SHELF)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_importing_does_not_load_torch():
    run(
        "import sys, numpy; from poolselect import FreeSel, Pool; "
        "FreeSel().query(Pool(numpy.arange(3), numpy.eye(3)), batch_size=2); "
        "assert 'torch' not in sys.modules, 'torch was loaded'; "
        "import poolselect; poolselect.semantic_patterns; assert 'torch' in sys.modules"
    )


def test_importing_does_not_load_scikit_learn():
    run(
        "import sys, numpy; from poolselect import BAL, FreeSel, Pool, TypiClust, strategies; strategies(); "
        "pool = Pool(numpy.arange(3), numpy.eye(3)); "
        "FreeSel().query(pool, batch_size=2); BAL(centroids=numpy.eye(3)).query(pool, batch_size=2); "
        "assert 'sklearn' not in sys.modules, 'scikit-learn was loaded'; "
        "TypiClust().query(pool, batch_size=2); assert 'sklearn' in sys.modules"
    )


def test_every_strategy_of_ours_has_its_name():
    names = {name: kind.__name__ for name, kind in poolselect.strategies().items()}
    assert names == {
        "badge": "BADGE",
        "bait": "BAIT",
        "bal": "BAL",
        "clustering": "FoundationClustering",
        "dropquery": "DropQuery",
        "entropy": "Entropy",
        "freesel": "FreeSel",
        "kcenter": "KCenterGreedy",
        "least_confidence": "LeastConfidence",
        "margin": "Margin",
        "maxherding": "MaxHerding",
        "probcover": "ProbCover",
        "random": "Random",
        "typiclust": "TypiClust",
        "uherding": "UHerding",
    }
    assert all(
        getattr(poolselect, name) is kind
        for name, kind in zip(names.values(), poolselect.strategies().values(), strict=True)
    )


def test_the_shelf_does_not_shadow_the_standard_library():
    assert not (SHELF / "__init__.py").exists()


def test_errors_are_value_errors():
    for name in poolselect.__all__:
        if name.endswith("Error"):
            assert issubclass(getattr(poolselect, name), poolselect.PoolSelectError)
    assert issubclass(poolselect.PoolSelectError, ValueError)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


@pytest.mark.parametrize("name", [name for name in poolselect.__all__ if not name.endswith(("Error", "QueryStrategy"))])
def test_public_things_have_an_example(name):
    assert ">>>" in getattr(poolselect, name).__doc__
