"""Files that appear whole or not at all."""

import os
import stat
import threading

import pytest

from labelqueue.files import write_atomically


@pytest.fixture
def umask():
    """A umask that leaves everything."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_file_is_written_with_its_folder(tmp_path):
    write_atomically(tmp_path / "a" / "b" / "file.bin", b"\x00\xff")
    assert (tmp_path / "a" / "b" / "file.bin").read_bytes() == b"\x00\xff"
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["file.bin"]


def test_old_content_is_replaced_whatever_the_new_one_is(tmp_path):
    path = tmp_path / "file"
    for data in (b"long content", b"short", b""):
        write_atomically(path, data)
        assert path.read_bytes() == data


@pytest.mark.parametrize(("asked", "given"), [(None, 0o600), (0o600, 0o600), (0o644, 0o644), (0o640, 0o640)])
def test_permissions_are_what_was_asked_for_from_the_first_moment(tmp_path, umask, asked, given, monkeypatch):
    (tmp_path / "file").write_bytes(b"old, and open to everybody")
    seen, replace = [], type(tmp_path).replace

    def spy(self, target):
        seen.append(stat.S_IMODE(self.stat().st_mode))
        return replace(self, target)

    monkeypatch.setattr(type(tmp_path), "replace", spy)
    write_atomically(tmp_path / "file", b"secret", mode=asked)
    assert seen == [given] and stat.S_IMODE((tmp_path / "file").stat().st_mode) == given


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("step", ["pathlib.Path.replace", "os.fchmod"])
def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch, step, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(step, fail)
        with pytest.raises((KeyboardInterrupt, OSError)):
            write_atomically(path, b"new", mode=0o600)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_an_oserror(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        write_atomically(tmp_path / "file" / "below", b"")


def test_a_name_as_long_as_names_may_be(tmp_path):
    write_atomically(tmp_path / ("x" * 255), b"data")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"data"]


def test_a_reader_never_sees_a_part(tmp_path):
    path, contents = tmp_path / "file", [bytes([letter]) * 500_000 for letter in b"ab"]
    write_atomically(path, contents[0])
    stop, seen = threading.Event(), set()

    def read():
        while not stop.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(100):
        write_atomically(path, contents[turn % 2])
    stop.set()
    reader.join()
    assert seen <= set(contents)
