"""The README tells the truth: its settings table is the code's, its commands and files exist."""

import re
from pathlib import Path

from labelqueue.cli.parser import build_parser
from labelqueue.settings import SETTINGS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def settings_table():
    """Return the table of every setting as Markdown."""
    lines = ["| setting | default | where | what it does |", "|---|---|---|---|"]
    for setting in SETTINGS:
        default = "" if setting.default in (None, {}) else str(setting.default)
        where = "project" if setting.scope == "project" else "environment"
        lines.append(f"| `{setting.name}` | {f'`{default}`' if default else ''} | {where} | {setting.help} |")
    return "\n".join(lines) + "\n"


def test_the_settings_table_is_the_codes():
    table = README.split("<!-- settings:start -->\n")[1].split("<!-- settings:end -->")[0]
    assert table == settings_table()
    assert all(f"`{setting.name}`" in table for setting in SETTINGS)


def test_linked_files_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).is_file(), target


def test_commands_parse():
    parser = build_parser()
    inline = re.findall(r"`(?:[A-Z_]+=\S+ )*labelqueue ([a-z][^`]*)`", README)
    blocks = re.findall(r"^\$ labelqueue (.+)$", README, re.M)
    shown = [*inline, *blocks]
    assert len(inline) > 3 and {"select", "simulate"} <= {command.split()[0] for command in blocks}
    for command in shown:
        parser.parse_args(command.replace("PROJECT", "1").split())


def test_make_knows_the_commands():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^\$ make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)


def test_the_library_example_runs(capsys):
    (example,) = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    told: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), told)
    assert "[" in capsys.readouterr().out
    first, then = set(told["first"].indices.tolist()), set(told["then"].indices.tolist())
    assert len(first) == len(then) == 20 and not first & then
