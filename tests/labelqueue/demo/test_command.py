"""The demo's parts: drawn images, folders, memory, messages."""

from __future__ import annotations

import argparse
import io
import socket
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelqueue.demo import command as demo
from labelqueue.demo.drawing import CLASSES, draw_images, plan
from labelqueue.demo.host import BATCH_FILES, batches
from labelqueue.demo.output import Console, table
from labelqueue.demo.sources import drawn_source, folder_source, label_config
from labelqueue.demo.state import DemoProject, DemoState, exclusive
from labelqueue.exceptions import SettingError
from labelqueue.labels.label_config import parse_label_config


def jpeg(colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(file, "JPEG")
    return file.getvalue()


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return parser.parse_args(arguments)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# -- drawn images


def test_the_same_seed_draws_the_same_bytes_and_another_does_not():
    assert list(draw_images(12, 3)) == list(draw_images(12, 3)) != list(draw_images(12, 4))


def test_drawn_images_are_quick_small_and_of_the_promised_size():
    began = time.process_time()
    images = list(draw_images(50))
    assert time.process_time() - began < 5
    assert {Image.open(io.BytesIO(image.data)).size for image in images} == {(320, 240)}
    assert max(len(image.data) for image in images) < 60_000
    assert len({image.name for image in images}) == 50
    assert not any(label in image.name for image in images for label in CLASSES), "a name must not tell the class"


@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, 300])
def test_the_count_is_kept(count):
    assert len(plan(count)) == count


def test_classes_are_unbalanced_and_all_there():
    amounts = Counter(scene.label for scene in plan(300))
    assert set(amounts) == set(CLASSES)
    assert amounts["disc"] > 10 * amounts["cross"]
    assert Counter(scene.label for scene in plan(len(CLASSES))) == dict.fromkeys(CLASSES, 1)


def test_bursts_stand_together_and_look_alike():
    scenes, images = plan(300), list(draw_images(300))
    seeds = Counter(scene.seed for scene in scenes)
    assert sum(n for n in seeds.values() if n > 1) > 75, "a good part of the collection is redundant"
    first = next(k for k in range(300) if seeds[scenes[k].seed] > 2)
    assert scenes[first].seed == scenes[first + 1].seed
    pixels = [
        np.asarray(Image.open(io.BytesIO(images[k].data)).resize((32, 24)), float) for k in range(first, first + 2)
    ]
    stranger = next(k for k in range(300) if scenes[k].seed != scenes[first].seed)
    other = np.asarray(Image.open(io.BytesIO(images[stranger].data)).resize((32, 24)), float)
    assert np.abs(pixels[0] - pixels[1]).mean() < 0.5 * np.abs(pixels[0] - other).mean()


# -- sources


def test_the_label_config_is_one_the_service_reads_whatever_the_classes_are_called():
    config = label_config(('5" & <small>', "b"))
    assert parse_label_config(config).labels == ('5" & <small>', "b")
    assert ElementTree.fromstring(config).find("Image").get("value") == "$image"


def test_sub_folders_with_images_are_the_classes(tmp_path: Path):
    for name in ("cats/1.jpg", "dogs/1.JPG", "dogs/deep/2.png", "top.jpg", ".hidden/3.jpg", "cats/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(jpeg())
    source = folder_source(tmp_path)
    assert source.classes == ("cats", "dogs")
    assert [file.key for file in source.files()] == ["cats/1.jpg", "dogs/1.JPG", "dogs/deep/2.png", "top.jpg"]
    assert source.skipped == {".txt": 1} and source.count == 4


@pytest.mark.parametrize("folders", [0, 1, 21])
def test_other_numbers_of_sub_folders_mean_keep_or_reject(tmp_path: Path, folders: int):
    (tmp_path / "top.jpg").write_bytes(jpeg())
    for number in range(folders):
        (tmp_path / f"f{number}").mkdir()
        (tmp_path / f"f{number}" / "a.jpg").write_bytes(jpeg())
    assert folder_source(tmp_path).classes == ("keep", "reject")


def test_a_wrong_folder_or_count_is_explained(tmp_path: Path):
    with pytest.raises(SettingError, match="there is no folder"):
        folder_source(tmp_path / "missing")
    with pytest.raises(SettingError, match=r"no image in .*\.jpg"):
        folder_source(tmp_path)
    with pytest.raises(SettingError, match="--count is 0"):
        drawn_source(0)


def test_bad_files_are_told_apart_and_good_ones_come_in_groups(tmp_path: Path):
    for number in range(BATCH_FILES + 1):
        (tmp_path / f"{number:03d}.jpg").write_bytes(jpeg())
    (tmp_path / "bad.png").write_bytes(b"no image")
    (tmp_path / "empty.jpg").touch()
    bad: list = []
    groups = list(batches(folder_source(tmp_path).files(), bad))
    assert [len(group) for group in groups] == [BATCH_FILES, 1]
    assert {file.key for file, _ in bad} == {"bad.png", "empty.jpg"}


# -- memory


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


# -- messages


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
