"""Where the demo's images come from: folders and their classes, files that are none."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

from labelqueue.demo.sources import drawn_source, folder_source, label_config
from labelqueue.exceptions import ImageError, SettingError
from labelqueue.labels.label_config import parse_label_config


def jpeg(color: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), color).save(file, "JPEG")
    return file.getvalue()


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


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no image", "not a JPEG"), (b"", "the file is empty"), (None, r"the file cannot be read \(No such file")],
)
def test_what_is_wrong_with_a_file_is_found_before_it_is_sent(tmp_path: Path, content: bytes | None, reason: str):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg())
    (file,) = folder_source(tmp_path).files()
    assert file.read() == path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ImageError, match=reason):
        file.read()


def test_drawn_images_are_files_too():
    source = drawn_source(7)
    files = list(source.files())
    assert source.count == len(files) == len({file.key for file in files}) == 7
    assert files[0].read().startswith(b"\xff\xd8")
