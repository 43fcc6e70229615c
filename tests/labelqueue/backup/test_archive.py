"""The file of a backup: whole and checked, or refused with what is wrong and the way out."""

from __future__ import annotations

import json
import re
import zipfile

import pytest

from labelqueue.backup.archive import MANIFEST, Reader, writing
from labelqueue.exceptions import BackupError

PARTS = {"facts.json": b'{"a": 1}', "orders/1.json": b"{}", "embeddings/g/00000001.safetensors": b"\x00" * 5000}


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "it.backup"
    with writing(found) as writer:
        for name, data in PARTS.items():
            writer.add(name, data)
        writer.close({"made_at": 5.0, "project": {}})
    return found


def rewritten(path, change):
    """Write a backup again with some parts changed; None leaves one out."""
    with zipfile.ZipFile(path) as there:
        parts = {name: there.read(name) for name in there.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, data in (parts | change).items():
            if data is not None:
                file.writestr(name, data)


def manifest(path, **changed):
    with zipfile.ZipFile(path) as there:
        found = json.loads(there.read(MANIFEST))
    return json.dumps(found | changed).encode()


def test_parts_come_back_and_only_the_owner_may_read_them(path):
    with Reader(path) as reader:
        steps = []
        reader.check(steps.append)
        assert {name: reader.read(name) for name in reader.names} == PARTS and len(steps) == len(PARTS)
        assert reader.json("facts.json") == {"a": 1} and reader.manifest["made_at"] == 5.0
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_backup_that_fails_leaves_the_file_that_was_there(path):
    before = path.read_bytes()
    with pytest.raises(RuntimeError), writing(path) as writer:
        writer.add("facts.json", b"{}")
        raise RuntimeError
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
    with pytest.raises(BackupError, match="name another file"), writing(path / "below"):
        pass


def test_every_byte_counts(path):
    """Whatever is flipped or cut off: it is said, or it is of no meaning (times, attributes) and changes nothing."""
    whole, refused = path.read_bytes(), 0
    for at in range(0, len(whole), 97):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            with Reader(path) as reader:
                reader.check(lambda step: None)
                assert {name: reader.read(name) for name in reader.names} == PARTS
        except BackupError as error:
            refused += 1
            assert "nothing was changed" in str(error)
    assert refused > len(range(0, len(whole), 97)) / 2
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(BackupError, match="end is missing"):
            Reader(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"facts.json": b'{"a": 2}'}, "facts.json: its checksum differs"),
        ({"facts.json": b'{"a": 1}' * 9}, "facts.json: its checksum differs"),
        ({"facts.json": None}, "the parts are not those it names"),
        ({"more.json": b"{}"}, "the parts are not those it names"),
        ({MANIFEST: b"[" * 100_000}, "damaged: manifest.json"),
        ({MANIFEST: b'{"kind": "other"}'}, "no backup of labelqueue"),
        ({MANIFEST: None}, "no backup of labelqueue"),
    ],
)
def test_what_is_no_whole_backup_is_refused(path, change, said):
    rewritten(path, change)
    with pytest.raises(BackupError, match=said), Reader(path) as reader:
        reader.check(lambda step: None)


def test_a_newer_format_is_refused_with_the_way_out(path):
    rewritten(path, {MANIFEST: manifest(path, format=2, labelqueue="9.1.0")})
    with pytest.raises(BackupError, match=re.escape("it has format 2, written by labelqueue 9.1.0")) as error:
        Reader(path)
    assert "reads format 1: restore it with labelqueue 9.1.0" in str(error.value)


@pytest.mark.parametrize("formats", [{"orders": 99}, {"moods": 1}])
def test_a_newer_format_of_a_part_is_refused(path, formats):
    rewritten(path, {MANIFEST: manifest(path, formats=formats)})
    with pytest.raises(BackupError, match=r"its part '(orders|moods)' has format (99|1)"):
        Reader(path)


def test_a_part_that_swells_is_not_read(path):
    with zipfile.ZipFile(path) as there:
        parts = {name: there.read(name) for name in there.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in (parts | {"facts.json": b" " * 50_000_000}).items():
            file.writestr(name, data)
    with Reader(path) as reader, pytest.raises(BackupError, match="larger than the manifest says"):
        reader.read("facts.json")


def test_what_is_no_file_is_said(tmp_path):
    for name in ("absent", "."):
        with pytest.raises(BackupError, match="cannot be read"):
            Reader(tmp_path / name)
