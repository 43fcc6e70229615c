"""What the demo prints."""

from __future__ import annotations

import io

import pytest

from labelqueue import progress
from labelqueue.demo.output import Output, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_rewritten_line_and_a_file_plain_ones():
    screen, file = Terminal(), io.StringIO()
    for stream in (screen, file):
        output = Output(stream, {"TERM": "xterm"})
        output.step("Importing")
        with output.progress(4, "images") as bar:
            for done in range(5):
                bar.reach(done)
        output.done("4 imported")
    assert "\r" in screen.getvalue() and "| 0/4 [" in screen.getvalue() and "\033[1mImporting" in screen.getvalue()
    assert screen.getvalue().endswith("\r  4 imported (0 s)\n")
    assert file.getvalue() == "Importing\n  4 imported (0 s)\n"


def test_a_log_file_gets_a_line_now_and_then_and_no_carriage_return(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    file = io.StringIO()
    output = Output(file, {"TERM": "xterm"})
    with output.waiting() as bar:
        bar.reach(10.4)
    with output.progress(300, "images", done=200) as bar:
        bar.reach(300)
        output.note("left out: a.jpg: the file is empty")
    lines = file.getvalue().splitlines()
    assert lines[0] == "  10 s" and lines[1].startswith("  300 of 300 images, ")
    assert lines[2:] == ["  left out: a.jpg: the file is empty"]
    assert not {"\r", "\033"} & set(file.getvalue())


def test_seconds_are_shown_while_something_starts():
    screen = Terminal()
    with Output(screen, {}).waiting() as bar:
        bar.reach(0.2)
    assert "  0 s" in screen.getvalue()


def test_a_note_stands_above_the_bar():
    screen = Terminal()
    output = Output(screen, {})
    with output.progress(4, "images"):
        output.note("paused: by an admin")
    assert "\r  paused: by an admin\n" in screen.getvalue()


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_color_means_none_in_bars_either(environ: dict[str, str]):
    screen = Terminal()
    output = Output(screen, environ)
    output.step("Importing")
    with output.progress(4, "images") as bar:
        bar.reach(4)
        output.note("note")
    assert "\033" not in screen.getvalue()


def test_no_color_is_respected():
    screen = Terminal()
    Output(screen, {"TERM": "xterm", "NO_COLOR": "1"}).step("Importing")
    assert screen.getvalue() == "Importing\n"


def test_the_last_column_of_a_table_is_cut_to_the_width():
    lines = table([("next", "image", "why"), ("1", "a.jpg", "covers a new pattern of the pool")], 30)
    assert lines == ["next  image  why", "1     a.jpg  covers a new pat…"]
