"""What the demo prints."""

from __future__ import annotations

import io

from labelqueue.demo.output import Console, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_rewritten_line_and_a_file_plain_ones():
    screen, file = Terminal(), io.StringIO()
    for stream in (screen, file):
        console = Console(stream, {"TERM": "xterm"})
        console.step("Importing")
        for done in range(5):
            console.progress(done, 4, "images")
        console.done("4 imported")
    assert "\r" in screen.getvalue() and "[####" in screen.getvalue() and "\033[1mImporting" in screen.getvalue()
    assert file.getvalue() == "Importing\n  4 imported (0 s)\n"


def test_no_color_is_respected():
    screen = Terminal()
    Console(screen, {"TERM": "xterm", "NO_COLOR": "1"}).step("Importing")
    assert screen.getvalue() == "Importing\n"


def test_the_last_column_of_a_table_is_cut_to_the_width():
    lines = table([("next", "image", "why"), ("1", "a.jpg", "covers a new pattern of the pool")], 30)
    assert lines == ["next  image  why", "1     a.jpg  covers a new pat…"]
