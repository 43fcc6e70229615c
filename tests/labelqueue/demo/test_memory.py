"""What the demo remembers between two runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from labelqueue.demo.memory import DemoProject, DemoState, exclusive
from labelqueue.exceptions import SettingError


def test_the_state_survives_and_is_private(tmp_path: Path):
    first = DemoState(tmp_path / "demo.json")
    first.projects["drawn 300"] = DemoProject(4, ["a.jpg"])
    first.save()
    again = DemoState(tmp_path / "demo.json")
    assert again.account == first.account and again.projects == {"drawn 300": DemoProject(4, ["a.jpg"])}
    assert (tmp_path / "demo.json").stat().st_mode & 0o077 == 0


def test_a_damaged_state_names_the_way_out(tmp_path: Path):
    (tmp_path / "demo.json").write_text("{")
    with pytest.raises(SettingError, match=r"is damaged .* start the demo afresh"):
        DemoState(tmp_path / "demo.json")


def test_a_folder_is_held_by_one_demo(tmp_path: Path):
    with exclusive(tmp_path), pytest.raises(SettingError, match="another demo works in"), exclusive(tmp_path):
        pass
    with exclusive(tmp_path):
        pass
