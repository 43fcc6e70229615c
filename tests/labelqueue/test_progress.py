"""How far a long loop has come: a bar on a terminal, lines elsewhere."""

import io
import re
import time
from types import SimpleNamespace

import pytest

from labelqueue import progress as module
from labelqueue.progress import INTERVAL, Progress, write_line


class Terminal(io.StringIO):
    def isatty(self):
        return True

    @property
    def shown(self):
        """What was ever on the screen, in order, without the blanks that wipe it."""
        return [text.rstrip() for text in re.split(r"[\r\n]", self.getvalue()) if text.strip()]

    @property
    def left(self):
        """What is to be read on the screen in the end."""
        lines = []
        for line in self.getvalue().split("\n"):
            text = ""
            for part in line.split("\r"):  # back at the start of the line, what is longer stays
                text = part + text[len(part) :]
            lines.append(text.rstrip())
        return [line for line in lines if line]


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so; for lines, as the bar has its own clock."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_progress_lines_where_there_is_no_terminal(capsys):
    with Progress(3, "images") as progress:
        progress.add(1)
        progress.add(2)
    assert capsys.readouterr().err.startswith("3 of 3 images, ")
    with Progress(3, "images", enabled=False) as progress:
        progress.add(3)
    assert capsys.readouterr().err == ""


def test_a_line_now_and_then_and_one_at_the_end(clock):
    file = io.StringIO()
    with Progress(2_000, "images", stream=file) as progress:
        for _ in range(8):
            clock.now += INTERVAL / 4
            progress.add(250)
        progress.add(0)
        assert progress.done == 2_000
    assert file.getvalue() == "1,000 of 2,000 images, 100/s, 10 s left\n2,000 of 2,000 images, 100/s\n"


def test_who_says_what_came_of_it_gets_no_line_at_the_end(clock):
    file = io.StringIO()
    with Progress(4, "images", stream=file, leave=False, indent="  ") as progress:
        clock.now += INTERVAL
        progress.reach(2)
        progress.reach(4)
        progress.reach(4)
    assert file.getvalue() == "  2 of 4 images, 0/s, 10 s left\n"


def test_what_was_there_before_does_not_count_for_the_speed(clock):
    file = io.StringIO()
    with Progress(300, "images", done=200, stream=file) as progress:
        assert progress.done == 200
        clock.now += INTERVAL
        progress.add(50)
    assert file.getvalue() == "250 of 300 images, 5/s, 10 s left\n"


def test_a_count_that_is_set_may_fall_and_does_not_end_twice(clock):
    file = io.StringIO()
    with Progress(4, "images", stream=file) as progress:
        for done in (4, 4, 3):
            progress.reach(done)
        assert progress.done == 3
    assert file.getvalue().count("\n") == 1


def test_a_loop_of_unknown_length_shows_its_count(clock):
    file = io.StringIO()
    with Progress(None, "s", stream=file, indent="  ") as progress:
        for second in range(25):
            clock.now += 1
            progress.reach(second + 0.7)
    assert file.getvalue() == "  9 s\n  19 s\n"


def test_nothing_to_do_says_nothing():
    for stream in (Terminal(), io.StringIO()):
        with Progress(0, "images", stream=stream) as progress:
            progress.add(0)
        assert stream.getvalue() == ""


def test_a_bar_on_a_terminal():
    screen = Terminal()
    with Progress(4, "images", stream=screen) as progress:
        progress.add(1)
        time.sleep(0.15)  # it is drawn ten times a second at most
        progress.add(1)
        progress.reach(4)
    assert screen.shown[0].startswith("  0%|") and " 0/4 [" in screen.shown[0] and "images/s" in screen.shown[0]
    assert any(" 2/4 [" in text for text in screen.shown)
    (left,) = screen.left
    assert left.startswith("100%|") and " 4/4 [" in left


def test_a_bar_that_does_not_stay():
    screen = Terminal()
    with Progress(4, "images", stream=screen, leave=False, indent="  ", done=2) as progress:
        time.sleep(0.15)
        progress.add(1)
    assert [text[:6] for text in screen.shown] == ["   50%", "   75%"] and screen.left == []


def test_seconds_on_a_terminal():
    screen = Terminal()
    with Progress(None, "s", stream=screen, leave=False, indent="  ") as progress:
        time.sleep(0.15)
        progress.reach(12.3)
    assert screen.shown == ["  0 s", "  12 s"] and screen.left == []


def test_a_bar_that_is_interrupted_is_closed():
    screen = Terminal()
    with pytest.raises(KeyboardInterrupt), Progress(4, "images", stream=screen):
        raise KeyboardInterrupt
    assert screen.getvalue().endswith("\n")


def test_a_line_above_the_bar():
    screen = Terminal()
    with Progress(4, "images", stream=screen) as progress:
        progress.add(4)
        write_line("skipped a.jpg", screen)
    line, bar = screen.left
    assert line == "skipped a.jpg" and bar.startswith("100%|")


def test_lines_without_a_bar():
    for stream in (Terminal(), io.StringIO()):
        write_line("one", stream)
        write_line("", stream)
        assert stream.getvalue() == "one\n\n"


def test_lines_go_to_standard_error(capsys):
    write_line("skipped a.jpg")
    assert capsys.readouterr() == ("", "skipped a.jpg\n")


@pytest.mark.parametrize(
    ("total", "left"), [(100, "89 s"), (1_000, "16 min"), (5_401, "1 h 30 min"), (20_000, "5 h 33 min")]
)
def test_how_long_it_will_take(clock, total, left):
    file = io.StringIO()
    with Progress(total, "images", stream=file) as progress:
        clock.now += INTERVAL + 1
        progress.add(11)
    assert file.getvalue().endswith(f", 1/s, {left} left\n")
