"""`labelqueue demo`: what is refused before anything starts."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

import pytest

from labelqueue.demo import command as demo
from labelqueue.exceptions import SettingError


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(("option", "variable"), [("--port", " PORT="), ("--label-studio-port", " LABEL_STUDIO_PORT=")])
def test_a_taken_port_names_the_variable_that_changes_it(tmp_path: Path, option: str, variable: str):
    program = tmp_path / "label-studio"
    program.touch()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ports = {"--port": str(free.getsockname()[1]), "--label-studio-port": str(free.getsockname()[1] + 1)}
        ports[option] = str(listener.getsockname()[1])
        free.close()
        chosen = [word for pair in ports.items() for word in pair]
        with pytest.raises(SettingError, match=f"port {ports[option]} cannot be used.*make demo{variable}"):
            demo.run(options("--label-studio", str(program), *chosen, "--data", str(tmp_path / "d")))
    assert not (tmp_path / "d").exists()


def test_one_port_for_both_is_refused(tmp_path: Path):
    program = tmp_path / "label-studio"
    program.touch()
    with pytest.raises(SettingError, match="both 9090"):
        demo.run(options("--label-studio", str(program), "--label-studio-port", "9090", "--data", str(tmp_path / "d")))


def test_a_missing_label_studio_is_explained(tmp_path: Path):
    with pytest.raises(SettingError, match=r"no Label Studio program at .*make demo"):
        demo.run(options("--label-studio", str(tmp_path / "nothing")))
