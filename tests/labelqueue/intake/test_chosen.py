"""The list of chosen images in every form that `select` prints, and what Label Studio can be sent to."""

import io
from pathlib import Path

import pytest

from labelqueue.exceptions import LabelQueueError
from labelqueue.intake.chosen import read_chosen, replaced

ADDRESSES = ["s3://b/a,b.jpg", "s3://b/ü 2.jpg"]
CSV = 'rank,path,reason\n1,"s3://b/a,b.jpg",first\n2,s3://b/ü 2.jpg,"far, new"\n'
JSON = '[{"rank": 1, "path": "s3://b/a,b.jpg", "reason": "x"}, {"rank": 2, "path": "s3://b/\\u00fc 2.jpg"}]'


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.csv", CSV), ("a.txt", CSV), ("a.json", JSON), ("a", "\ufeff" + CSV), ("a.csv", CSV.replace("\n", "\r\n"))],
)
def test_what_select_prints(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    assert read_chosen(tmp_path / name).addresses == ADDRESSES


def test_lines_and_standard_input(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("s3://b/1.jpg\n\ns3://b/2.jpg\ns3://b/1.jpg\n")
    chosen = read_chosen(tmp_path / "a.txt")
    assert chosen.addresses == ["s3://b/1.jpg", "s3://b/2.jpg"] and chosen.repeated == 1
    monkeypatch.setattr("sys.stdin", io.StringIO(CSV))
    assert read_chosen(Path("-")).addresses == ADDRESSES


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "file,label\na.jpg,cat\n", "has the columns file, label and no 'path'"),
        ("a.txt", "file,label\na.jpg,cat\n", "has the columns file, label and no 'path'"),
        ("a.csv", "rank,path\n1,\n", "row 1 of .* names no image"),
        ("a.json", '[{"uri": "x"}]', "row 1 of .* names no image"),
        ("a.json", "[1", "is not JSON"),
        ("a.txt", "\n", "names no image"),
        ("a.csv", "rank,path\n", "names no image"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(LabelQueueError, match=says):
        read_chosen(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(LabelQueueError, match="cannot be read"):
        read_chosen(tmp_path / "none.csv")


def test_paths_become_what_label_studio_serves():
    paths = ["/mnt/photos/a/1.jpg", "/mnt/photos/2.jpg", "https://h/3.jpg"]
    served = replaced(paths, [("/mnt/photos/a", "s3://a"), ("/mnt/photos", "/data/local-files/?d=photos")])
    assert served == ["s3://a/1.jpg", "/data/local-files/?d=photos/2.jpg", "https://h/3.jpg"]
    with pytest.raises(LabelQueueError, match=r"/mnt/photos/a/1.jpg is a path on this machine.*--replace"):
        replaced(paths, [])
    with pytest.raises(LabelQueueError, match=r"/data/photos/1.jpg is a path on this machine"):
        replaced(["/data/photos/1.jpg"], [])
    with pytest.raises(LabelQueueError, match=r"--replace /typo=…: no image begins so"):
        replaced(["s3://b/1.jpg"], [("/typo", "x")])
    with pytest.raises(LabelQueueError, match="one address of two images"):
        replaced(["/a/1.jpg", "/b/1.jpg"], [("/a", "s3://x"), ("/b", "s3://x")])
