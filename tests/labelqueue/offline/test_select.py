"""`labelqueue select`, in this process and as a real one."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from labelqueue.block import Block
from labelqueue.cli.parser import main
from labelqueue.exceptions import EmbedderError, LabelQueueError
from labelqueue.offline import select as folder
from labelqueue.offline.folder import FolderCache, find_images
from labelqueue.offline.select import Pick, add_arguments, run, select
from labelqueue.settings import COLD_START


def draw(path, seed, size=(48, 36)):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize(size).save(path)


@pytest.fixture
def photos(tmp_path):
    directory = tmp_path / "photos"
    for number in range(20):
        draw(directory / ("night" if number % 2 else "day") / f"{number:02d}.{'png' if number % 3 else 'jpg'}", number)
    (directory / "notes.txt").write_text("not an image")
    draw(directory / ".hidden" / "x.png", 1)
    draw(directory / ".x.png", 1)
    return directory


@pytest.fixture
def notes():
    return []


@pytest.fixture
def choose(tmp_path, photos, notes):
    def choose(n=5, directory=photos, **options):
        options = {
            "model": "bundled",
            "cache_dir": tmp_path / "cache",
            "progress": False,
            "say": notes.append,
        } | options
        return select(directory, n, **options)

    return choose


@pytest.fixture
def embedded(monkeypatch):
    """How many images each call of `select` sent through the model."""
    counts, real = [], folder.embed_stream

    def count(embedder, items, **options):
        items = list(items)
        counts.append(len(items))
        return real(embedder, items, **options)

    monkeypatch.setattr(folder, "embed_stream", count)
    return counts


def test_images_are_found_in_the_order_of_their_relative_paths(photos):
    found = [file.path.relative_to(photos).as_posix() for file in find_images(photos)]
    assert found == sorted(found) and len(found) == 20
    assert found[0] == "day/00.jpg" and found[-1] == "night/19.png"


def test_picks_are_different_images_and_say_why(choose, photos, notes):
    picks = choose(5)
    assert [pick.rank for pick in picks] == [1, 2, 3, 4, 5]
    assert len({pick.path for pick in picks}) == 5
    assert all(pick.path.startswith(str(photos)) and pick.reason for pick in picks)
    assert notes == ["files that are no images by their suffix are left out: 1 .txt"]


def test_the_order_is_a_function_of_folder_model_and_seed(choose, tmp_path):
    everything = choose(20)
    assert choose(20, cache_dir=tmp_path / "elsewhere") == everything
    assert choose(7) == everything[:7]
    # Another metric is another order; so is the paper's rule.
    assert len({tuple(pick.path for pick in choose(20, metric=name)) for name in ("centered", "cosine")}) == 2
    # With one proposal per pick the seed matters even in a folder of twenty.
    assert choose(20, seed=1, trials=1) != choose(20, seed=2, trials=1)
    assert {pick.path for pick in choose(20, seed=1, trials=1)} == {pick.path for pick in everything}


def test_another_strategy_chooses_otherwise_and_refuses_what_it_does_not_look_at(choose):
    for strategy in COLD_START:
        picks = choose(20, strategy=strategy)
        assert len({pick.path for pick in picks}) == 20
        assert picks[:6] == choose(6, strategy=strategy)
    assert choose(6, strategy="maxherding")[0].reason.endswith("to the coverage of the pool")
    with pytest.raises(LabelQueueError, match=r"--trials 5, --patterns 3: only FreeSel .* --strategy is maxherding"):
        choose(6, strategy="maxherding", trials=5, patterns=3)
    with pytest.raises(LabelQueueError, match="--metric cosine"):
        choose(6, strategy="probcover", metric="cosine")


def test_more_than_there_are_gives_all_with_a_note(choose, notes):
    assert len(choose(50)) == 20
    assert "50 images were asked for" in notes[-1] and "20 readable" in notes[-1]


def test_the_second_run_embeds_only_what_changed(choose, photos, embedded):
    first = choose()
    assert choose() == first
    draw(photos / "day" / "new.png", 77)
    draw(photos / "day" / "02.png", 78, (50, 36))
    (photos / "night" / "01.png").unlink()
    choose()
    assert embedded == [20, 0, 2]
    choose(patterns=3)  # other parameters are another generation
    assert embedded == [20, 0, 2, 20]


def test_several_patterns(choose):
    picks = choose(6, patterns=3)
    assert len({pick.path for pick in picks}) == 6


def test_bad_images_are_reported_and_left_out(choose, photos, notes):
    (photos / "day" / "broken.jpg").write_bytes((photos / "day" / "00.jpg").read_bytes()[:300])
    (photos / "text.png").write_text("hello")
    (photos / "nowhere.png").symlink_to(photos / "missing.png")
    picks = choose(30)
    assert len(picks) == 20
    bad = [note for note in notes if note.startswith("skipped")]
    assert len(bad) == 2
    assert "broken.jpg: the image is damaged or truncated" in bad[0] and "text.png: not a JPEG" in bad[1]


def test_a_damaged_block_is_embedded_again(choose, tmp_path, embedded, caplog):
    first = choose()
    (block,) = (tmp_path / "cache").rglob("*.block")
    block.write_bytes(block.read_bytes()[:-7])
    assert choose() == first
    assert embedded == [20, 20] and "embedded again" in caplog.text


def test_near_duplicates_come_last_with_the_path_of_the_other_one(choose, photos):
    for number in (3, 4):
        with Image.open(next(photos.rglob(f"{number:02d}.*"))) as image:
            image.resize((96, 72)).save(photos / "day" / f"again {number}.jpg", quality=90)
    picks = choose(22)
    assert len({pick.path for pick in picks}) == 22
    last = {pick.path.rpartition("/")[2]: pick.reason for pick in picks if pick.reason.startswith("near-duplicate of ")}
    assert len(last) == 2 and [pick.reason.startswith("near-duplicate of ") for pick in picks[-2:]] == [True, True]
    assert choose(10) == picks[:10] and choose(21) == picks[:21]
    assert not any("near-duplicate" in pick.reason for pick in choose(22, duplicates="serve"))


def test_blocks_appear_whole_or_not_at_all(tmp_path, photos, monkeypatch):
    cache = FolderCache(tmp_path / "cache", photos, "0" * 32)
    one = np.ones((1, 2), np.float16)
    block = Block(np.array([0]), np.array([5], np.uint64), one, one, np.array([0, 1]))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", stop)
        with pytest.raises(KeyboardInterrupt):
            cache.put(block)
    assert list(cache.path.iterdir()) == []
    cache.put(block)
    assert cache.load().sources.tolist() == [5]


def test_what_is_done_before_ctrl_c_is_kept(choose, photos, monkeypatch, embedded, notes):
    for number in range(100, 180):
        draw(photos / "more" / f"{number}.png", number)
    with monkeypatch.context() as patch:
        put, calls = FolderCache.put, []

        def interrupted(self, block):
            put(self, block)
            calls.append(len(block))
            raise KeyboardInterrupt

        patch.setattr(FolderCache, "put", interrupted)
        with pytest.raises(KeyboardInterrupt):
            choose()
    assert calls == [64] and any("the same command goes on" in note for note in notes)
    assert len(choose()) == 5
    assert embedded == [100, 36]


def test_folders_without_images_are_named(choose, tmp_path):
    with pytest.raises(LabelQueueError, match="nowhere is not a folder"):
        choose(directory=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabelQueueError, match="empty holds no images; looked for"):
        choose(directory=tmp_path / "empty")
    (tmp_path / "empty" / "a.png").write_text("x")
    with pytest.raises(LabelQueueError, match="none of the 1 images"):
        choose(directory=tmp_path / "empty")


def test_a_cache_that_cannot_be_written_is_named(choose, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(LabelQueueError, match="--cache DIR"):
        choose(cache_dir=tmp_path / "file")


# -- the command


def parse(*arguments):
    parser = argparse.ArgumentParser("labelqueue select")
    add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


def test_the_model_of_the_environment_and_of_the_command_line(photos, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        folder, "select", lambda *a, **k: asked.append((k["model"], k["weights"], k["cache_dir"])) or []
    )
    monkeypatch.setenv("LABELQUEUE_EMBEDDER", "vit_tiny_patch16_224")
    monkeypatch.setenv("LABELQUEUE_WEIGHTS", "/w.safetensors")
    monkeypatch.setenv("LABELQUEUE_HOME", str(tmp_path))
    assert run(parse(photos, "-n", 3)) == 0
    run(parse(photos, "-n", 3, "--model", "bundled", "--cache", tmp_path / "c"))
    assert str(asked[0][1]) == "/w.safetensors" and asked[0][::2] == ("vit_tiny_patch16_224", tmp_path / "select")
    assert asked[1] == ("bundled", None, tmp_path / "c")


@pytest.mark.parametrize("output", ["paths", "json", "csv"])
def test_outputs(monkeypatch, capsys, photos, output):
    picks = [Pick(1, "a b,c.png", "first"), Pick(2, "\udcff.png", "second")]
    monkeypatch.setattr(folder, "select", lambda *_, **__: picks)
    assert run(parse(photos, "-n", 2, "--output", output)) == 0
    printed = capsys.readouterr().out
    if output == "json":
        assert json.loads(printed)[0] == {"rank": 1, "path": "a b,c.png", "reason": "first"}
    elif output == "csv":
        assert printed.splitlines()[:2] == ["rank,path,reason", '1,"a b,c.png",first']
    else:
        assert printed.splitlines() == ["a b,c.png", "\ufffd.png"]


def test_missing_weights_name_the_options_of_the_command(photos, tmp_path):
    with pytest.raises(EmbedderError, match=r"No such file.*--model bundled"):
        run(parse(photos, "-n", 2, "--model", "vit_tiny_patch16_224", "--weights", tmp_path / "no.safetensors"))


@pytest.mark.parametrize("wrong", ["", "-n 0", "-n x", "-n 3 --patterns 0", "-n 3 --output xml"])
def test_wrong_usage_is_exit_status_2(photos, wrong):
    with pytest.raises(SystemExit) as caught:
        parse(photos, *wrong.split())
    assert caught.value.code == 2


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    assert "labelqueue select photos/ -n 20" in capsys.readouterr().out


def command(*arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment.update(LABELQUEUE_HOME=str(cwd / "home"), LABELQUEUE_EMBEDDER="bundled")
    line = [sys.executable, "-m", "labelqueue", "select", *map(str, arguments)]
    return subprocess.Popen(line, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_and_resume_as_a_real_process(tmp_path):
    many = tmp_path / "many"
    images = 256
    for number in range(images):
        draw(many / f"{number:03d}.jpg", number, (320, 240))
    first = command(many, "-n", 5, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("*.block")):
            assert time.monotonic() < deadline and first.poll() is None
            time.sleep(0.02)
        first.send_signal(signal.SIGINT)
        _, said = first.communicate(timeout=30)
    finally:
        first.kill()
    kept = len(list(tmp_path.rglob("*.block")))
    assert first.returncode == 130 and "the same command goes on" in said, said
    assert 1 <= kept < images // 64
    second = command(many, "-n", 5, cwd=tmp_path)
    out, said = second.communicate(timeout=120)
    assert second.returncode == 0 and len(out.splitlines()) == 5, said
    assert f"{images - 64 * kept} of {images - 64 * kept} images" in said


def test_an_error_is_one_line_and_exit_status_1(tmp_path, capsys):
    assert main(["select", str(tmp_path / "nowhere"), "-n", "5"]) == 1
    said = capsys.readouterr().err
    assert "nowhere is not a folder" in said and "Traceback" not in said
