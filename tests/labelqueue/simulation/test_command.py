"""`labelqueue simulate`, from the CSV to the results, with stand-in embeddings and once with the real model."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from labelqueue.block import Block
from labelqueue.cli.parser import main
from labelqueue.exceptions import EmbedderError
from labelqueue.simulation import command as module
from labelqueue.simulation.command import max_to_min

CLASSES = ("ant", "bee", "cat")


def vectors(labels, seed=0):
    rng = np.random.default_rng(seed)
    return (2 * np.eye(6)[labels] + 0.7 * rng.normal(size=(len(labels), 6))).astype(np.float16)


@pytest.fixture
def photos(tmp_path):
    """A folder of 45 images of three classes, and its CSV."""
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = ["file,label"]
    for number in range(45):
        name, color = CLASSES[number % 3], [20, 20, 20]
        color[number % 3] = 180 + number
        Image.new("RGB", (40, 40), tuple(color)).save(folder / f"{number:02d}.png")
        lines.append(f"{number:02d}.png,{name}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def embedded(monkeypatch):
    """Embeddings out of thin air; the arguments of each call."""
    calls = []

    def embed(directory, files, **options):
        calls.append((directory, [file.path.name for file in files], options))
        numbers = np.array([int(file.path.stem) for file in files])
        rows, places = vectors(np.arange(100) % 3)[numbers], np.arange(len(files))
        return Block(places, places.astype(np.uint64), rows, rows, np.arange(len(files) + 1))

    monkeypatch.setattr(module, "embed_folder", embed)
    monkeypatch.setattr(module, "load_embedder", lambda model, weights, size: None)
    return calls


@pytest.fixture
def run(photos, tmp_path):
    def run(*more, labels=None, output="out"):
        return main(
            [
                "simulate", "--images", str(photos), "--labels", str(labels or tmp_path / "labels.csv"),
                "--output", str(tmp_path / output), "--jobs", "1", "--start", "6", "--model", "bundled",
                "--cache", str(tmp_path / "cache"), *map(str, more),
            ]
        )  # fmt: skip

    return run


def test_results_are_written_and_printed(run, embedded, tmp_path, capsys):
    assert run("--strategy", "kcenter+margin", "--budget", 24, "--seeds", 3) == 0
    out, err = capsys.readouterr()
    assert (
        "kcenter+margin" in out
        and "minus random" in out
        and "labels saved" in out
        and "±" in out
        and "curves.png" in out
    )
    assert (
        "pool of 36 images, test set of 9, drawn anew for each seed, 3 classes, 3 seeds: 6 campaigns of 24 labels"
        in err
    )
    assert "144 of 144 labels" in err and "\x1b" not in err + out
    rows = list(csv.DictReader((tmp_path / "out" / "curves.csv").read_text().splitlines()))
    assert [row["labels"] for row in rows[:6]] == ["6", "8", "12", "17", "24", "6"]
    assert {row["strategy"] for row in rows} == {"kcenter+margin", "random"} and len(rows) == 30
    summary = list(csv.DictReader((tmp_path / "out" / "summary.csv").read_text().splitlines()))
    assert {row["strategy"]: row["seeds"] for row in summary} == {"kcenter+margin": "3", "random": "3"}
    assert (tmp_path / "out" / "curves.png").stat().st_size > 5000


@pytest.mark.parametrize("output", [(), ("--json",)])
def test_without_matplotlib_only_the_picture_is_missing(run, embedded, tmp_path, capsys, monkeypatch, output):
    arguments = ("--strategy", "random", "--budget", 8, "--seeds", 1, *output)
    assert run(*arguments) == 0
    expected = {name: (tmp_path / "out" / name).read_bytes() for name in ("curves.csv", "summary.csv", "forecasts.csv")}
    said = capsys.readouterr().out.replace(f", {tmp_path / 'out' / 'curves.png'}", "")
    assert (tmp_path / "out" / "curves.png").exists()
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(*arguments) == 0
    out, err = capsys.readouterr()
    assert out == said
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == expected
    last = err.splitlines()[-1]
    assert last.startswith("note: the picture curves.png is left out") and "pip install 'labelqueue[offline]'" in last


def test_a_fresh_process_without_matplotlib(photos, tmp_path):
    hidden = "import sys; sys.modules['matplotlib'] = None; from labelqueue.cli.parser import main; sys.exit(main())"
    arguments = ["simulate", "--images", photos, "--labels", tmp_path / "labels.csv", "--output", tmp_path / "out"]
    arguments += ["--budget", 6, "--start", 6, "--seeds", 1, "--jobs", 1, "--strategy", "random", "--model", "bundled"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment["LABELQUEUE_HOME"] = str(tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", hidden, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "balanced accuracy" in done.stdout and "curves.png" not in done.stdout
    assert "pip install 'labelqueue[offline]'" in done.stderr.splitlines()[-1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["curves.csv", "forecasts.csv", "summary.csv"]


def test_the_same_command_writes_the_same_bytes(run, embedded, tmp_path):
    arguments = ("--strategy", "auto", "--budget", 20, "--seeds", 2, "--set", "switch_after=8")
    assert run(*arguments) == run(*arguments, "--jobs", 2, output="again") == 0
    for name in ("curves.csv", "summary.csv", "forecasts.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_json_instead_of_the_table(run, embedded, capsys, tmp_path):
    assert run("--strategy", "random", "--budget", 12, "--seeds", 1, "--step", 6, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["labels"] == [6, 12] and found["reference"] == "random" and found["seeds"] == 1
    (only,) = found["strategies"]
    assert only["strategy"] == "random" and only["balanced_gain"] is None
    assert 0 <= only["balanced_area"]["mean"] <= 100 and only["balanced_area"]["low"] is None


def test_one_half_of_the_images(run, embedded, capsys):
    for half in (0, 1):
        assert run("--strategy", "random", "--budget", 8, "--seeds", 1, "--half", half) == 0
    first, second = (set(names) for _, names, _ in embedded)
    assert len(first) > 12 and len(second) > 12 and not first & second and len(first | second) == 45
    assert "other images" not in capsys.readouterr().err


def test_what_is_left_out_is_said(run, embedded, photos, tmp_path, capsys):
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    (tmp_path / "fewer.csv").write_text("\n".join(lines[:-3]))
    assert run("--strategy", "random", "--budget", 8, "--seeds", 1, labels=tmp_path / "fewer.csv") == 0
    assert "note: 3 other images of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--budget", "37"), "--budget 37 is more than the pool has: 36 images"),
        (("--budget", "5"), "--start 6 is more than --budget 5"),
        (("--budget", "9", "--strategy", "magic"), "unknown strategy 'magic'; there are auto, "),
        (("--budget", "9", "--set", "x=1"), "unknown setting 'x'"),
        (("--budget", "9", "--strategy", "auto[x=1]"), "--strategy auto[x=1]: unknown setting 'x'"),
        (("--budget", "9", "--split", "file"), "--split file keeps the test set of the label file, and it names none"),
        (("--budget", "36", "--imbalance", "10:1"), "--budget 36 is more than the pool has: 17 images, once 9 of 45"),
    ],
)
def test_errors_are_one_line_and_come_before_any_image_is_embedded(run, embedded, capsys, arguments, said):
    assert run(*arguments) == 1
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err and embedded == []


def test_an_output_folder_that_cannot_be(run, embedded, tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    assert run("--budget", "9") == 1
    assert "--output" in capsys.readouterr().err and embedded == []


@pytest.mark.parametrize(
    "wrong",
    [
        ["--imbalance", "0.6"], ["--imbalance", "1:10"], ["--imbalance", "3:0"], ["--half", "2"], ["--seeds", "0"],
        ["--split", "yes"], ["--separator", " "],
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_status_2(run, wrong):
    with pytest.raises(SystemExit) as caught:
        run("--budget", "9", *wrong)
    assert caught.value.code == 2


def test_a_ratio_of_classes():
    assert max_to_min("10:1") == 10 and max_to_min("3:2") == 1.5 and max_to_min("1:1") == 1


def test_thinned_classes_are_told(run, embedded, capsys):
    assert run("--strategy", "random", "--budget", 8, "--seeds", 1, "--imbalance", "4:1") == 0
    assert "--imbalance leaves in the pool: ant 12, bee 6, cat 3" in capsys.readouterr().err


def test_a_model_that_cannot_be_had_fails_before_anything_else(run, monkeypatch, capsys):
    def fail(*_):
        raise EmbedderError("no weights (here: --weights FILE, or --model bundled)")

    monkeypatch.setattr(module, "load_embedder", fail)
    for reader in ("read_csv", "locate", "embed_folder"):
        monkeypatch.setattr(module, reader, None)
    assert run("--budget", 8) == 1
    assert capsys.readouterr().err == "labelqueue: no weights (here: --weights FILE, or --model bundled)\n"


def test_another_reference(run, embedded, tmp_path, capsys):
    assert run("--strategy", "kcenter", "--reference", "typiclust", "--budget", 8, "--seeds", 1, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reference"] == "typiclust"
    gains = {one["strategy"]: one["balanced_gain"] for one in found["strategies"]}
    assert gains.keys() == {"kcenter", "typiclust"} and gains["typiclust"] is None and gains["kcenter"] is not None


def test_settings_of_one_strategy_have_a_curve_of_that_name(run, embedded, tmp_path):
    names = ("auto", "auto[switch_after=6,retrain_every=2]")
    assert run("--strategy", *names, "--budget", 20, "--seeds", 1) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "curves.csv").read_text().splitlines()))
    assert {row["strategy"] for row in rows} == {*names, "random"}


@pytest.fixture
def marked(tmp_path, photos):
    """The CSV with a split: the first nine images are the test set, the next three val."""
    first, *lines = (tmp_path / "labels.csv").read_text().splitlines()
    parts = ["test"] * 9 + ["val"] * 3 + ["train"] * 33
    rows = [f"{line},{part}" for line, part in zip(lines, parts, strict=True)]
    (tmp_path / "marked.csv").write_text("\n".join([f"{first},split", *rows]))
    return tmp_path / "marked.csv"


def test_pools_are_drawn_anew_unless_the_split_is_to_be_kept(run, embedded, marked, capsys):
    arguments = ("--strategy", "random", "--budget", 8, "--seeds", 2)
    assert run(*arguments, labels=marked) == 0
    err = capsys.readouterr().err
    assert "3 images of" in err and "marked split=val are left out" in err
    assert "note: every seed draws its own pool and test set; --split file keeps" in err
    assert "test set of 9, drawn anew for each seed" in err
    assert run(*arguments, "--split", "file", labels=marked) == 0
    err = capsys.readouterr().err
    assert "pool of 33 images, test set of 9, 3 classes" in err and "draws its own" not in err


@pytest.fixture
def several(tmp_path, photos):
    """Labels of the photos, several of them each: a CSV of joined labels, one of columns, a COCO file."""
    rng = np.random.default_rng(0)
    shown = rng.random((45, 3)) < (0.6, 0.4, 0.3)
    names = [f"{number:02d}.png" for number in range(45)]
    labels = [[name for name, there in zip(CLASSES, row, strict=True) if there] for row in shown]
    joined = [f"{name},{'|'.join(label)}" for name, label in zip(names, labels, strict=True)]
    (tmp_path / "joined.csv").write_text("\n".join(["file,label", *joined]))
    columns = [f"{name},{','.join(str(int(there)) for there in row)}" for name, row in zip(names, shown, strict=True)]
    (tmp_path / "columns.csv").write_text("\n".join(["file,ant,bee,cat", *columns]))
    tables = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "annotations": [
            {"image_id": number, "category_id": CLASSES.index(name)}
            for number, label in enumerate(labels)
            for name in label
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate((*CLASSES, "cow"))],
    }
    (tmp_path / "coco.json").write_text(json.dumps(tables))
    return tmp_path


def test_several_labels_however_they_are_told(run, embedded, several, capsys):
    for name in ("joined.csv", "columns.csv", "coco.json"):
        assert run("--budget", 20, "--seeds", 2, labels=several / name, output=name[:4]) == 0
        out, err = capsys.readouterr()
        assert "mean average precision" in out and "several labels for an image" in err and "ant|" not in out + err
        assert "3 labels, several per image" in err
    first, *others = [(several / name / "curves.csv").read_bytes() for name in ("join", "colu", "coco")]
    assert others == [first, first] and first.startswith(b"strategy,seed,labels,average_precision,balanced_accuracy")


def test_a_bar_in_a_name_has_a_way_out(run, embedded, several, capsys):
    path = several / "joined.csv"
    path.write_text(path.read_text().replace(",\n", ",none\n").rstrip(",") + "\n")
    assert run("--strategy", "random", "--budget", 6, "--seeds", 1, "--separator", "none", labels=path) == 0
    assert "balanced accuracy" in capsys.readouterr().out


def test_labels_that_cannot_be_measured_are_named(run, embedded, several, capsys):
    path = several / "columns.csv"
    first, *rows = path.read_text().splitlines()
    rare = [f"{row},{int(number == 7)}" for number, row in enumerate(rows)]
    path.write_text("\n".join([f"{first},dodo", *rare]))
    assert run("--strategy", "random", "--budget", 8, "--seeds", 2, labels=path) == 0
    assert "not counted there, since no image of the test set of some seed shows them or all do: dodo" in (
        capsys.readouterr().err
    )


def test_a_separator_is_not_for_coco(run, embedded, several, capsys):
    assert run("--budget", 8, "--separator", ";", labels=several / "coco.json") == 1
    assert "--separator ; is for a CSV" in capsys.readouterr().err


def test_with_the_real_model_and_a_bad_image(run, photos, tmp_path, capsys):
    (photos / "07.png").write_bytes(b"not an image")
    assert run("--strategy", "auto", "--budget", 18, "--seeds", 1) == 0
    out, err = capsys.readouterr()
    assert "skipped" in err and "07.png" in err
    assert "note: 1 of 45 images cannot be read and are left out" in err and "44" not in out.split("Mean")[0]
    rows = list(csv.DictReader((tmp_path / "out" / "curves.csv").read_text().splitlines()))
    assert [row["labels"] for row in rows if row["strategy"] == "auto"] == ["6", "8", "12", "17", "18"]
    # Three plain colors are told apart by any embedding.
    assert float(rows[4]["balanced_accuracy"]) > 0.7


def alive(group):
    """Running processes of a process group."""
    found = []
    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@pytest.mark.parametrize("send", [os.killpg, os.kill])  # Ctrl-C reaches all of them, a supervisor's signal the first
def test_an_interrupt_ends_every_process(photos, tmp_path, send):
    line = [
        sys.executable, "-m", "labelqueue", "simulate", "--images", photos, "--labels", tmp_path / "labels.csv",
        "--output", tmp_path / "out", "--budget", "36", "--seeds", "500", "--jobs", "2", "--model", "bundled",
        "--cache", tmp_path / "cache",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    started = subprocess.Popen(
        [str(part) for part in line], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        said = ""
        while "of 36,000 labels" not in said:  # both processes are at work
            said = started.stderr.readline()
            assert said, "it ended early"
        send(started.pid, signal.SIGINT)
        _, said = started.communicate(timeout=120)
    finally:
        started.kill()
    assert started.returncode == 130
    # After it, only Python's own warning of a process that had to be ended may follow.
    after = said.splitlines()[said.splitlines().index("labelqueue: interrupted") + 1 :]
    assert "Traceback" not in said and all("resource_tracker" in line or line.startswith("  ") for line in after), said
    deadline = time.monotonic() + 10  # its helper processes notice a moment later that it is gone
    while alive(started.pid):
        assert time.monotonic() < deadline, alive(started.pid)
        time.sleep(0.05)
