"""The steps of the demo that count, with stand-ins for Label Studio and for the project that is being ordered."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from labelqueue.demo import show
from labelqueue.demo.memory import DemoState
from labelqueue.demo.output import Output
from labelqueue.demo.sources import drawn_source, folder_source
from labelqueue.exceptions import LabelQueueError, SettingError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Host:
    """Takes every file but those whose name it is told to refuse."""

    def __init__(self, *refused: str) -> None:
        self.tasks, self._refused = 0, refused

    def has_project(self, project: int) -> bool:
        return True

    def create_project(self, title: str, label_config: str) -> int:
        return 4

    def upload(self, project: int, group: list) -> list:
        refused = [(file, "400 too odd") for file, _ in group if file.name in self._refused]
        self.tasks += len(group) - len(refused)
        return refused

    def task_count(self, project: int) -> int:
        return self.tasks


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_images_are_imported_once(tmp_path: Path, stream: io.StringIO):
    output, host, source = Output(stream, {}), Host(), drawn_source(60)
    for again in (False, True):
        assert show._import(output, host, source, DemoState(tmp_path / "demo.json")).id == 4
        said = stream.getvalue().splitlines()
        assert said[-1].startswith("  0 images imported, 60 were there (" if again else "  60 images imported (")
    assert host.tasks == 60
    assert ("| 0/60 [" in stream.getvalue()) == ("\r" in stream.getvalue()) == stream.isatty()


def test_what_is_left_out_is_said_with_its_reason(tmp_path: Path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for image in drawn_source(3).files():
        (photos / image.name).write_bytes(image.read())
    odd = sorted(photos.iterdir())[0].name
    (photos / "bad.jpg").write_bytes(b"")
    (photos / "notes.txt").touch()
    stream, host = io.StringIO(), Host(odd)
    show._import(Output(stream, {}), host, folder_source(photos), DemoState(tmp_path / "demo.json"))
    said = stream.getvalue()
    assert "left out: 1 .txt" in said and "left out: bad.jpg: the file is empty" in said
    assert f"left out: {odd}: 400 too odd" in said and "2 images imported" in said


def test_nothing_to_label_is_an_error(tmp_path: Path):
    (tmp_path / "bad.jpg").write_bytes(b"bad")
    with pytest.raises(SettingError, match="nothing to show"):
        show._import(Output(io.StringIO(), {}), Host(), folder_source(tmp_path), DemoState(tmp_path / "demo.json"))


def status(embedded: int, covers: int = 0, **more: object) -> dict[str, object]:
    empty = {"version": "r1" if covers else "", "tasks": 8, "quarantined": 0, "paused": "", "error": ""}
    return {**empty, "embedded": embedded, "covers": covers, **more}


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch):
    """Wait for the order of 8 images while the project says one status after another, the last one for ever."""

    def wait(*statuses: dict[str, object], stream: io.StringIO) -> object:
        left = list(statuses)
        project = SimpleNamespace(ref=SimpleNamespace(origin="http://ls", id=4, created=1))
        monkeypatch.setattr(show, "POLL", 0.0)
        monkeypatch.setattr(show, "STALL_TIMEOUT", 0.05)
        monkeypatch.setattr(show.Project, "all", lambda store: [project])
        monkeypatch.setattr(show, "project_status", lambda _: left.pop(0) if len(left) > 1 else left[0])
        monkeypatch.setattr(show, "project_order", lambda _, shown: {"tasks": shown})
        return show._wait_for_order(Output(stream, {}), None, "http://ls", 4, 8, lambda: None)

    return wait


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_the_order_is_waited_for(wait, stream):
    order = wait(status(0), status(4, error="busy"), status(4, error="busy"), status(8, covers=8), stream=stream)
    assert order == {"tasks": show.SHOWN}
    assert stream.getvalue().count("  error: busy\n") == 1
    assert "  8 images embedded and ordered: r1 (" in stream.getvalue()
    assert ("| 0/8 [" in stream.getvalue()) == ("\r" in stream.getvalue()) == stream.isatty()


def test_no_progress_is_an_error_that_says_the_last_reason(wait):
    with pytest.raises(LabelQueueError, match="no order of all 8 images, and no progress for 0 s: Redis is away"):
        wait(status(3, error="Redis is away"), stream=io.StringIO())
