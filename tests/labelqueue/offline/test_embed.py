"""`labelqueue embed`: what it takes and says."""

import json

import numpy as np
import pytest
from PIL import Image

from labelqueue.cli.parser import main

pytest.importorskip("pyarrow")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((32, 32)).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "photos" / "bad.jpg").write_text("no image")
    monkeypatch.setenv("LABELQUEUE_EMBEDDER", "bundled")
    monkeypatch.setenv("LABELQUEUE_HOME", str(tmp_path / "home"))
    return tmp_path / "photos"


def test_embed_and_select_choose_what_select_alone_chooses(photos, capsys):
    assert main(["embed", "photos", "-o", "vectors"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("vectors: 6 of 7 images of photos embedded\n  by bundled at 160 pixels")
    assert "1 bad images are left out" in said and f"{photos}/bad.jpg: not a JPEG" in said
    assert main(["select", "vectors", "-n", "6", "--output", "json"]) == 0
    from_vectors = json.loads(capsys.readouterr().out)
    assert main(["select", str(photos), "-n", "6", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == from_vectors


def test_parts_and_json(photos, capsys):
    counts = []
    for number in (1, 2):
        assert main(["embed", "photos", "-o", "vectors", "--part", f"{number}/2", "--json"]) == 0
        printed = capsys.readouterr()
        told = json.loads(printed.out)
        counts.append(told["embedded"])
        assert told["part"] == f"{number}/2" and told["engine"] == "process" and "images," not in printed.err
    assert sum(counts) == 6 and all(counts)


def test_what_could_not_be_fetched_is_exit_status_3(photos, capsys, monkeypatch):
    system = pytest.importorskip("fsspec").filesystem("memory")
    system.pipe("/m/1.png", (photos / "1.png").read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(type(system), "cat_file", lambda *_, **__: (_ for _ in ()).throw(OSError("busy")))
        assert main(["embed", "memory://m", "-o", "vectors"]) == 3
    assert "the same command tries them again" in capsys.readouterr().out
    assert main(["embed", "memory://m", "-o", "vectors"]) == 0
    system.store.clear()


def test_errors_are_one_line(photos, capsys):
    for wrong in (["nowhere", "-o", "vectors"], ["photos", "-o", "photos"], ["photos", "-o", "v", "--actors", "2"]):
        assert main(["embed", *wrong]) == 1
        said = capsys.readouterr().err
        assert "Traceback" not in said and said.startswith("labelqueue: "), said


@pytest.mark.parametrize("wrong", ["photos", "photos -o v --part 4/3", "photos -o v --patterns 0", "-o v"])
def test_wrong_usage_is_exit_status_2(wrong):
    with pytest.raises(SystemExit) as caught:
        main(["embed", *wrong.split()])
    assert caught.value.code == 2
