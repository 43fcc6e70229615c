"""What lies in a folder: images by their suffix, and how many files are none."""

import os

import pytest

from labelqueue.images.listing import SUFFIXES, Listing, describe_left_out, list_images
from labelqueue.pixels.decoding import FORMATS


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.PNG", "b/10.jfif", "a.tif", "c.jpe", "d.dcm", ".x/1.png", "b/.y.png", "notes.txt", "b/NOTES.TXT",
                 "README", "b/table.csv", ".DS_Store"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_images_are_sorted_and_the_rest_is_counted_by_suffix(folder):
    listing = list_images(folder)
    assert [path.as_posix() for path in listing.images] == ["a.tif", "b/10.jfif", "b/2.PNG", "c.jpe", "d.dcm"]
    assert listing.left_out == {".txt": 2, ".csv": 1, "no suffix": 1}
    assert list_images(folder, (".txt",)).left_out[".tif"] == 1


def test_what_is_no_file_is_neither(folder):
    (folder / "nowhere.png").symlink_to(folder / "missing.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    assert len(list_images(folder).images) == 5


def test_avif_counts_where_pillow_reads_it(folder):
    assert (".avif" in SUFFIXES) == ("AVIF" in FORMATS)


def test_one_line_names_the_most_frequent_kinds():
    assert describe_left_out({}) == ""
    assert describe_left_out({".csv": 1, ".txt": 30, "no suffix": 2}) == (
        "files that are no images by their suffix are left out: 30 .txt, 2 no suffix, 1 .csv"
    )
    many = describe_left_out({f".{number:02d}": 2 for number in range(14)})
    assert many.endswith("2 .09, 8 of 4 other kinds")


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    assert list_images(tmp_path / "missing") == Listing([], {})
