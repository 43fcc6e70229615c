"""Where images are: folders, prefixes, manifests."""

import pytest

from http_stub import serving
from labelqueue.collection.part import Part
from labelqueue.collection.source import Picture, find_pictures, nameable, reader
from labelqueue.exceptions import CollectionError, ImageError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.jpg", "a/1.png", ".hidden/x.jpg", "notes.txt", "a/.y.jpg", "z.JPG"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "photos"


def names(pictures, folder):
    return [picture.uri.removeprefix(f"{folder}/") for picture in pictures]


def test_a_folder_by_any_of_its_names(folder, monkeypatch):
    notes = []
    found = find_pictures(str(folder), say=notes.append)
    assert names(found, folder) == ["a/1.png", "b/2.jpg", "z.JPG"]
    assert notes == ["files that are no images by their suffix are left out: 1 .txt"]
    monkeypatch.chdir(folder.parent)
    assert find_pictures("photos") == find_pictures("photos/") == find_pictures(f"file://{folder}") == found
    parts = [find_pictures("photos", part=Part(number, 2)) for number in (1, 2)]
    assert sorted([*parts[0], *parts[1]], key=lambda one: one.uri) == found


def test_another_content_is_another_source(folder):
    (before, *_) = find_pictures(str(folder))
    (folder / "a/1.png").write_text("longer content")
    (after, *_) = find_pictures(str(folder))
    assert before.uri == after.uri and before.source != after.source


def test_a_prefix_leaves_out_what_a_folder_leaves_out():
    system = pytest.importorskip("fsspec").filesystem("memory")
    system.pipe({f"/p/{name}": b"1" for name in ("b/2.jpg", "a/1.png", ".hidden/x.jpg", "notes.txt", "z.JPG")})
    notes = []
    found = find_pictures("memory://p/", say=notes.append)
    assert [picture.uri for picture in found] == ["memory://p/a/1.png", "memory://p/b/2.jpg", "memory://p/z.JPG"]
    assert "1 .txt" in notes[0]
    system.store.clear()


def test_a_manifest_names_images_each_once(folder, tmp_path):
    uris = ["s3://b/2.jpg", "/abs/1", "s3://b/2.jpg", "photos/a/1.png", " https://h/x?y=1 "]
    parquet.write_table(pa.table({"url": uris, "n": range(5)}), tmp_path / "list.parquet")
    found = find_pictures(str(tmp_path / "list.parquet"), column="url")
    assert [one.uri for one in found] == sorted(["/abs/1", "https://h/x?y=1", "s3://b/2.jpg", f"{folder}/a/1.png"])
    assert reader()(f"{folder}/a/1.png") == b"a/1.png"


@pytest.mark.parametrize(
    ("columns", "column", "says"),
    [
        ({"url": ["a"], "n": [1]}, "uri", r"has the columns url, n and no 'uri'.*--column"),
        ({"uri": [1]}, "uri", "holds int64, it must hold text"),
        ({"uri": ["a", None]}, "uri", "row 2 of .* has no address"),
        ({"uri": pa.array([], pa.string())}, "uri", "names no image"),
    ],
)
def test_what_is_wrong_with_a_manifest(tmp_path, columns, column, says):
    parquet.write_table(pa.table(columns), tmp_path / "list.parquet")
    with pytest.raises(CollectionError, match=says):
        find_pictures(str(tmp_path / "list.parquet"), column=column)


def test_a_source_that_is_none_is_named(tmp_path):
    with pytest.raises(CollectionError, match="nowhere is not a folder"):
        find_pictures(str(tmp_path / "nowhere"))
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(CollectionError, match=r"holds no images; looked for .*1 \.txt"):
        find_pictures(str(tmp_path))
    with pytest.raises(CollectionError, match=r"none.parquet cannot be opened"):
        find_pictures(str(tmp_path / "none.parquet"))
    (tmp_path / "bad.parquet").write_text("no parquet at all")
    with pytest.raises(CollectionError, match="cannot be read as a Parquet file"):
        find_pictures(str(tmp_path / "bad.parquet"))


def test_addresses_of_the_web_are_read_with_the_guards_of_tasks(monkeypatch):
    with serving(lambda *call: (200, {}, b"picture")) as (url, _):
        with pytest.raises(ImageError, match="LABELQUEUE_ALLOW_HOSTS"):
            reader()(f"{url}/1.jpg")
        monkeypatch.setenv("LABELQUEUE_ALLOW_HOSTS", "127.0.0.1")
        assert reader()(f"{url}/1.jpg") == b"picture"
    assert reader()("data:,hello") == b"hello"
    with pytest.raises(ImageError, match="cannot be read"):
        reader()("/nowhere/1.jpg")


def test_names_that_are_no_text():
    assert nameable("/a/ü.jpg") and not nameable("/a/\udcff.jpg")
    assert Picture("/a/\udcff.jpg").source != Picture("/a/\udcfe.jpg").source
