"""SECURITY.md tells the truth: every guard has a test, and every test that it names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "SECURITY.md").read_text()


def named():
    return re.findall(r"`(test_\w+)::(test_\w+)`", TEXT)


def test_the_tests_that_it_names_exist():
    assert len(named()) > 25
    for file, test in named():
        found = [path for path in (ROOT / "tests").rglob(f"{file}.py") if f"def {test}(" in path.read_text()]
        assert found, f"{file}::{test}"


def test_every_guard_names_a_test():
    table = TEXT.split("<!-- guards:start -->")[1].split("<!-- guards:end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    assert len(rows) > 12
    for row in rows:
        assert len(row) == 4 and all(row) and re.search(r"`test_\w+::test_\w+`", row[3]), row


def test_what_it_tells_to_run_and_to_look_at_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make (\w+)`", TEXT):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for name in re.findall(r"`([\w.-]+\.(?:txt|py|yml))`", TEXT):
        assert (ROOT / name).is_file(), name
    assert "Flask==3" in (ROOT / "overrides.txt").read_text()
