"""What the command lines of `select`, `simulate` and `pretext` have in common."""

import argparse

import pytest

from labelqueue.offline.arguments import add_model_arguments, at_least, chosen_model, chosen_size, image_side


def parse(kind, text, capsys):
    """Return what argparse makes of a text, or what it says."""
    parser = argparse.ArgumentParser(prog="command")
    parser.add_argument("-n", type=kind)
    try:
        return parser.parse_args(["-n", text]).n
    except SystemExit as end:
        assert end.code == 2
        return capsys.readouterr().err.splitlines()[-1].removeprefix("command: error: argument -n: ")


@pytest.mark.parametrize(
    ("kind", "text", "result"),
    [
        (at_least(1), "1", 1),
        (at_least(2), "300", 300),
        (at_least(1), "0", "0 is less than 1"),
        (at_least(2), "1", "1 is less than 2"),
        (at_least(1), "-3", "-3 is less than 1"),
        (at_least(1), "1.5", "invalid whole number value: '1.5'"),
        (image_side, "16", 16),
        (image_side, "128", 128),
        (image_side, "40", "40 is no multiple of 16 from 16 to 128"),
        (image_side, "0", "0 is no multiple of 16 from 16 to 128"),
        (image_side, "144", "144 is no multiple of 16 from 16 to 128"),
        (image_side, "big", "invalid whole number value: 'big'"),
    ],
)
def test_numbers_within_bounds(kind, text, result, capsys):
    assert parse(kind, text, capsys) == result


def test_the_sides_are_those_the_network_takes():
    pytest.importorskip("torch")
    from labelqueue.exceptions import EmbedderError
    from labelqueue.images.rotation_network import RotationNet

    def taken(side):
        try:
            RotationNet(side)
        except EmbedderError:
            return False
        return True

    def accepted(side):
        try:
            return image_side(str(side)) == side
        except argparse.ArgumentTypeError:
            return False

    assert [side for side in range(0, 200, 8) if taken(side)] == [side for side in range(0, 200, 8) if accepted(side)]


@pytest.fixture
def chosen(monkeypatch, tmp_path):
    """Return what the model arguments of a command line stand for."""
    monkeypatch.setenv("LABELQUEUE_HOME", str(tmp_path))
    for name in ("LABELQUEUE_EMBEDDER", "LABELQUEUE_WEIGHTS", "LABELQUEUE_IMAGE_SIZE"):
        monkeypatch.delenv(name, raising=False)

    def chosen(*arguments):
        parser = argparse.ArgumentParser()
        add_model_arguments(parser)
        return chosen_model(parser.parse_args([str(argument) for argument in arguments]))

    return chosen


def test_the_command_line_comes_before_the_environment(chosen, monkeypatch, tmp_path):
    default, weights, cache = chosen()
    assert default and weights is None and cache == tmp_path / "select"
    monkeypatch.setenv("LABELQUEUE_EMBEDDER", "vit_tiny_patch16_224")
    assert chosen() == ("vit_tiny_patch16_224", None, tmp_path / "select")
    assert chosen("--model", "bundled", "--cache", tmp_path / "c") == ("bundled", None, tmp_path / "c")


def test_weights_of_the_environment_belong_to_its_model(chosen, monkeypatch, tmp_path):
    monkeypatch.setenv("LABELQUEUE_WEIGHTS", "/w.safetensors")
    assert str(chosen()[1]) == "/w.safetensors" and chosen("--model", "bundled")[1] is None
    assert chosen("--model", "x", "--weights", tmp_path / "w")[1] == tmp_path / "w"


def test_a_folder_of_weights_and_the_image_size_of_the_environment(chosen, monkeypatch, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"")
    monkeypatch.setenv("LABELQUEUE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("LABELQUEUE_IMAGE_SIZE", "96")
    assert chosen("--model", "x")[1] == tmp_path / "x.safetensors" and chosen("--model", "y")[1] is None
    parser = argparse.ArgumentParser()
    add_model_arguments(parser)
    sizes = [chosen_size(parser.parse_args(arguments)) for arguments in ([], ["--model", "x"])]
    assert sizes == [96, None], "of the environment's model alone"
