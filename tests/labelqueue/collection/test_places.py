"""Buckets and other file systems: a real S3 server through pyarrow, and fsspec's own memory."""

import pytest

from e2e.cloud import put, s3_server
from labelqueue.collection import places
from labelqueue.collection.places import find_files, open_file, read_place
from labelqueue.exceptions import CollectionError, ImageError, TransientImageError


@pytest.fixture
def memory():
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.pipe({"/photos/a.jpg": b"aa", "/photos/sub/b c#1.png": b"b", "/photosynthesis/x.jpg": b"x"})
    yield system
    system.store.clear()


def test_files_below_a_prefix_with_what_tells_their_content(memory):
    found = find_files("memory://photos")
    assert sorted(found) == ["memory://photos/a.jpg", "memory://photos/sub/b c#1.png"]
    assert sorted(find_files("memory://photos/")) == sorted(found)
    memory.pipe("/photos/a.jpg", b"ab")
    assert find_files("memory://photos")["memory://photos/a.jpg"] != found["memory://photos/a.jpg"]
    assert read_place("memory://photos/sub/b c#1.png") == b"b"
    with open_file("memory://photos/a.jpg") as stream:
        assert stream.read() == b"ab"


def test_what_cannot_be_read_is_named(memory, monkeypatch):
    with pytest.raises(ImageError, match="no such file") as caught:
        read_place("memory://photos/none.jpg")
    assert not isinstance(caught.value, TransientImageError)
    monkeypatch.setattr(places, "MOST_BYTES", 1)
    with pytest.raises(ImageError, match="more than 1 bytes"):
        read_place("memory://photos/a.jpg")
    with pytest.raises(CollectionError, match=r"memory://photos/none.parquet cannot be opened"):
        open_file("memory://photos/none.parquet")

    def lost(*_, **__):
        raise OSError("line lost")

    monkeypatch.setattr(type(memory), "cat_file", lost)
    with pytest.raises(TransientImageError, match="line lost"):
        read_place("memory://photos/a.jpg")


@pytest.mark.parametrize("uri", ["nonsense://a/b.jpg", "hdfs4://a/b.jpg"])
def test_a_scheme_that_nothing_reads_is_named(uri):
    with pytest.raises(CollectionError, match=uri.partition(":")[0]):
        read_place(uri)


def test_a_bucket_is_read_without_another_package(monkeypatch):
    pytest.importorskip("pyarrow.fs")
    with s3_server() as (url, _):
        put(url, "photos", {"day/1.jpg": b"one", "day/2.jpg": b"two", "night/3.jpg": b"three"})
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "k",
            "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            monkeypatch.setenv(name, value)
        places._system.cache_clear()
        assert sorted(find_files("s3://photos/day")) == ["s3://photos/day/1.jpg", "s3://photos/day/2.jpg"]
        assert len(find_files("s3://photos")) == 3
        assert read_place("s3://photos/night/3.jpg") == b"three"
        with pytest.raises(ImageError, match="no such file"):
            read_place("s3://photos/night/4.jpg")
        with pytest.raises(CollectionError, match="s3://none cannot be listed"):
            find_files("s3://none")
    places._system.cache_clear()
