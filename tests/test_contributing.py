"""CONTRIBUTING tells the truth: the rooms it names exist, and the picture shows every package."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
BACKEND = ROOT / "backend" / "labelqueue"


def test_the_files_it_names_exist():
    places = re.findall(r"`((?:[a-z0-9_]+/)+[a-z0-9_.]*)`", TEXT)
    assert len(places) > 30
    for place in places:
        roots = [ROOT, BACKEND, ROOT / "tests", ROOT / "tests" / "labelqueue"]
        assert any((root / place).exists() or (root / f"{place}.py").exists() for root in roots), place


def test_every_package_is_in_the_picture():
    picture = (ROOT / "docs" / "packages.svg").read_text()
    shown = re.findall(r'font-weight="600" fill="#0f172a">(\w+)<', picture)
    assert sorted(shown) == sorted(path.parent.name for path in BACKEND.glob("*/__init__.py"))


def test_the_life_of_an_annotation_goes_down_and_never_back():
    """Each step of the list names the modules that the step before calls; no file stands in two steps."""
    life = TEXT.split("## The life of an annotation")[1].split("\n## ")[0]
    steps = re.split(r"^\s*(?:\d\.|-) ", life, flags=re.M)[1:]
    seen: dict[str, int] = {}
    for number, step in enumerate(steps):
        for module in re.findall(r"`(\w+/\w+)`", step):
            assert (BACKEND / f"{module}.py").exists(), module
            assert seen.setdefault(module, number) == number or module == "publishing/publishing", (
                f"{module} comes back"
            )
    assert len(seen) > 20
