"""A folder's images, and the block files that keep their embeddings."""

import os

import numpy as np
import pytest

from labelqueue.block import Block
from labelqueue.exceptions import ImageError, LabelQueueError
from labelqueue.offline.folder import File, FolderCache, find_images


@pytest.fixture
def photos(tmp_path):
    directory = tmp_path / "photos"
    for name in ("b/2.png", "b/10.JPG", "a.tif", ".hidden/x.png", "b/.x.png", "notes.txt"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(name)
    return directory


@pytest.fixture
def cache(tmp_path, photos):
    return FolderCache(tmp_path / "cache", photos, "0" * 32)


def block(*sources):
    rows = np.ones((len(sources), 2), np.float16)
    return Block(np.arange(len(sources)), np.array(sources, np.uint64), rows, rows, np.arange(len(sources) + 1))


def test_images_are_found_by_suffix_and_sorted_by_path(photos):
    (photos / "nowhere.png").symlink_to(photos / "missing.png")
    assert [file.path.relative_to(photos).as_posix() for file in find_images(photos)] == [
        "a.tif",
        "b/10.JPG",
        "b/2.png",
    ]


def test_what_is_no_image_is_said_in_one_line(photos):
    notes = []
    (photos / "b" / "table.csv").touch()
    find_images(photos, notes.append)
    assert notes == ["files that are no images by their suffix are left out: 1 .csv, 1 .txt"]
    (photos / "b" / "table.csv").unlink(), (photos / "notes.txt").unlink()
    find_images(photos, notes.append)
    assert len(notes) == 1


def test_another_content_and_another_time_are_another_image(photos):
    path = photos / "a.tif"
    before = find_images(photos)[0]
    assert find_images(photos)[0] == before
    path.write_text("longer than before")
    longer = find_images(photos)[0]
    os.utime(path, ns=(0, 0))
    assert len({before.source, longer.source, find_images(photos)[0].source}) == 3


def test_a_file_is_read_and_one_that_cannot_be_is_a_bad_image(photos, tmp_path):
    file = find_images(photos)[0]
    assert file.read() == b"a.tif"
    file.path.unlink()
    with pytest.raises(ImageError, match=r"^the file cannot be read \(No such file or directory\)$"):
        file.read()
    with pytest.raises(ImageError, match=r"^the file cannot be read \(Is a directory\)$"):
        File(tmp_path, "").read()


def test_folders_without_images_are_named(tmp_path, photos):
    with pytest.raises(LabelQueueError, match="nowhere is not a folder"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(LabelQueueError, match="is not a folder"):
        find_images(photos / "a.tif")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.doc").touch()
    with pytest.raises(
        LabelQueueError, match=r"empty holds no images; looked for .*\.bmp, .* \(.* left out: 1 \.doc\)$"
    ):
        find_images(tmp_path / "empty")


def test_blocks_come_back_and_an_empty_one_leaves_no_file(cache):
    assert len(cache.load()) == 0
    cache.put(block())
    assert not cache.path.exists()
    cache.put(block(5, 6))
    cache.put(block(7))
    cache.put(block(7))
    assert sorted(cache.load().sources.tolist()) == [5, 6, 7]


def test_folders_and_generations_are_kept_apart(tmp_path, photos, cache):
    cache.put(block(5))
    for other in (
        FolderCache(tmp_path / "cache", photos, "1"),
        FolderCache(tmp_path / "cache", photos / "b", "0" * 32),
    ):
        assert len(other.load()) == 0
    again = FolderCache(tmp_path / "cache", photos / "b" / "..", "0" * 32)
    assert again.load().sources.tolist() == [5]


def test_a_damaged_block_is_removed_and_its_images_count_as_new(cache, caplog):
    cache.put(block(5))
    cache.put(block(6))
    broken = sorted(cache.path.iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:-3])
    assert len(cache.load()) == 1 and not broken.exists()
    assert "embedded again" in caplog.text


def test_a_folder_that_cannot_be_written_names_the_option(tmp_path, photos):
    (tmp_path / "file").touch()
    with pytest.raises(LabelQueueError, match=r"file/.* cannot be written .*--cache DIR"):
        FolderCache(tmp_path / "file", photos, "0").put(block(5))
