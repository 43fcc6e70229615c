"""`labelqueue pretext` on a folder and on a project whose images a real server on loopback hands out."""

import http.server
import threading
from dataclasses import replace

import numpy as np
import pytest

from labelqueue.cli.parser import main
from labelqueue.demo.drawing import draw_images
from labelqueue.exceptions import EmbedderError, LabelQueueError, LabelStudioError
from labelqueue.images.rotation_network import RotationNet
from labelqueue.labels.annotations import UNLABELED
from labelqueue.offline import pretext
from labelqueue.offline.folder import find_images
from labelqueue.offline.pretext import Options, pretext_folder, pretext_project
from labelqueue.state.columns import read_columns
from labelqueue.state.project import Project, ProjectRef
from labelqueue.state.task_row import TaskRow
from labelqueue.worker.runtime import Runtime

pytest.importorskip("torch")

IMAGES = 30


@pytest.fixture(scope="module")
def files():
    return {f"{number:02d}.jpg": image.data for number, image in enumerate(draw_images(IMAGES + 3))}


@pytest.fixture
def notes():
    return []


@pytest.fixture
def options(notes):
    return Options(size=16, epochs=None, progress=False, say=notes.append)


@pytest.fixture
def photos(tmp_path, files):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in sorted(files)[:IMAGES]:
        (folder / name).write_bytes(files[name])
    return folder


@pytest.fixture
def trained(monkeypatch):
    """How many images each training got."""
    counts, real = [], pretext.train_rotation

    def count(images, **options):
        counts.append(len(images))
        return real(images, **options)

    monkeypatch.setattr(pretext, "train_rotation", count)
    return counts


@pytest.fixture
def studio(files):
    """A Label Studio that has nothing but uploads; `asked` lists the requests."""
    asked, status = [], {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rsplit("/", 1)[-1]
            asked.append(name)
            body = files.get(name, b"")
            self.send_response(status.get(name, 200 if body else 404))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    server.asked, server.status, server.url = asked, status, f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def runtime(deployment, studio, tmp_path):
    return Runtime(replace(deployment, label_studio_url=studio.url, home=tmp_path / "home"))


@pytest.fixture
def with_tasks(runtime, project, redis_home, tmp_path, files):
    """The project with a task for each image; its runtime talks to the run's Redis."""
    runtime.__dict__["store"] = project.store
    put(project, range(IMAGES))
    return project


def put(project, tasks):
    project.put_tasks({task: TaskRow(f"/data/upload/1/{task:02d}.jpg", UNLABELED) for task in tasks})


def wanted(project):
    columns = read_columns(project)
    return columns.ids, columns.sources


# -- a folder


def test_a_folder_gets_features(photos, tmp_path, options, notes):
    rows = pretext_folder(photos, tmp_path / "cache", options)
    assert rows.ids.tolist() == list(range(IMAGES)) and rows.embeddings.shape == (IMAGES, 256)
    np.testing.assert_array_equal(rows.patterns, rows.embeddings)
    assert "guessing: 25%" in notes[0]
    (stored,) = (tmp_path / "cache").rglob("rotation-16.safetensors")
    net = RotationNet.from_bytes(stored.read_bytes())
    assert (net.epochs, net.seed, net.images) == (pretext.EPOCHS, 0, IMAGES)
    from labelqueue.pixels.decoding import decode

    pixels = np.stack([decode(file.path.read_bytes(), 16) for file in find_images(photos)])
    np.testing.assert_array_equal(rows.embeddings, net.features(pixels).astype(np.float16))


def test_the_second_run_uses_the_network_and_adds_what_is_new(photos, tmp_path, files, options, notes, trained):
    first = pretext_folder(photos, tmp_path / "cache", options)
    new = sorted(files)[IMAGES]
    (photos / "00-new.jpg").write_bytes(files[new])
    (photos / "01.jpg").unlink()
    second = pretext_folder(photos, tmp_path / "cache", options)
    assert trained == [IMAGES] and "the network of before is used" in notes[-1]
    row_of = {source: row for row, source in enumerate(first.sources.tolist())}
    kept = [row for row, source in enumerate(second.sources.tolist()) if source in row_of]
    assert len(second) == IMAGES and len(kept) == IMAGES - 1
    np.testing.assert_array_equal(
        second.embeddings[kept], first.embeddings[[row_of[s] for s in second.sources[kept].tolist()]]
    )


def test_it_is_trained_anew_only_when_asked(photos, tmp_path, options, trained):
    options = replace(options, epochs=2)
    pretext_folder(photos, tmp_path / "cache", options)
    pretext_folder(photos, tmp_path / "cache", options)
    assert trained == [IMAGES]
    for asked in (
        replace(options, epochs=3),
        replace(options, seed=1),
        replace(options, retrain=True),
        replace(options, size=32),
    ):
        pretext_folder(photos, tmp_path / "cache", asked)
    assert trained == [IMAGES] * 5


def test_more_images_than_are_trained_on(photos, tmp_path, options, trained, monkeypatch):
    monkeypatch.setattr(pretext, "MOST_IMAGES", 22)
    assert len(pretext_folder(photos, tmp_path / "cache", options)) == IMAGES
    assert trained == [22]


def test_bad_images_are_reported_and_left_out(photos, tmp_path, options, notes):
    (photos / "broken.jpg").write_bytes((photos / "00.jpg").read_bytes()[:500])
    rows = pretext_folder(photos, tmp_path / "cache", options)
    assert len(rows) == IMAGES
    (bad,) = [note for note in notes if note.startswith("skipped")]
    assert "broken.jpg: the image is damaged" in bad


def test_too_few_images_and_a_damaged_network(photos, tmp_path, options):
    few = tmp_path / "few"
    few.mkdir()
    (few / "a.jpg").write_bytes((photos / "00.jpg").read_bytes())
    with pytest.raises(EmbedderError, match="1 images are too few"):
        pretext_folder(few, tmp_path / "cache", options)
    pretext_folder(photos, tmp_path / "cache", options)
    (stored,) = (tmp_path / "cache").rglob("*.safetensors")
    stored.write_bytes(b"junk")
    with pytest.raises(EmbedderError, match=r"rotation-16.safetensors.*--retrain"):
        pretext_folder(photos, tmp_path / "cache", options)
    assert len(pretext_folder(photos, tmp_path / "cache", replace(options, retrain=True))) == IMAGES


# -- a project


def test_a_project_gets_a_generation_beside_its_embeddings(runtime, with_tasks, studio, options, trained):
    project = with_tasks
    generation = pretext_project(runtime, project, options)
    assert project.get("rotation_generation") == generation and project.get("generation") == ""
    rows = runtime.cache(project, generation).load(*wanted(project))
    assert rows.ids.tolist() == list(range(IMAGES)) and rows.embeddings.std(axis=0).max() > 0
    assert len(studio.asked) == IMAGES  # each image is read once, for training and features together
    assert project.store.exists(project.name("queued"))  # tending was asked for
    assert (runtime.deployment.home / "pretext" / f"{project.key}-16.safetensors").exists()
    put(project, [IMAGES])
    assert pretext_project(runtime, project, options) == generation
    assert len(studio.asked) == IMAGES + 1 and trained == [IMAGES]
    assert len(runtime.cache(project, generation).load(*wanted(project))) == IMAGES + 1


def test_a_machine_that_lacks_the_network_says_so_and_trains_no_other_one_by_itself(runtime, with_tasks, options):
    project = with_tasks
    generation = pretext_project(runtime, project, options)
    (runtime.deployment.home / "pretext" / f"{project.key}-16.safetensors").unlink()
    with pytest.raises(LabelQueueError, match=r"not on this machine: copy it .*16\.safetensors, .*--retrain"):
        pretext_project(runtime, project, options)
    assert project.get("rotation_generation") == generation
    assert pretext_project(runtime, project, replace(options, retrain=True)) == generation


def test_another_network_replaces_the_features_once_complete(runtime, with_tasks, options):
    project = with_tasks
    first = pretext_project(runtime, project, options)
    second = pretext_project(runtime, project, replace(options, seed=5))
    assert second != first and project.get("rotation_generation") == second
    assert runtime.cache(project, first).rows() == {}
    assert len(runtime.cache(project, second).rows()) == IMAGES


def test_training_anew_repairs_features_that_redis_lost(runtime, with_tasks, options):
    project = with_tasks
    generation = pretext_project(runtime, project, options)
    project.store.delete(project.name("cache", generation, "blocks"))
    assert pretext_project(runtime, project, replace(options, retrain=True)) == generation
    assert len(runtime.cache(project, generation).load(*wanted(project))) == IMAGES


def test_images_that_fail_do_not_stop_the_others(runtime, with_tasks, studio, options, notes):
    project = with_tasks
    project.put_tasks({90: TaskRow("/data/upload/1/gone.jpg", UNLABELED), 91: TaskRow("", UNLABELED)})
    project.quarantine({3: (project.tasks()[3].uri, "broken"), 4: ("/another/image.jpg", "replaced since")})
    studio.status["07.jpg"] = 503
    generation = pretext_project(runtime, project, options)
    assert sorted(runtime.cache(project, generation).rows()) == sorted(set(range(IMAGES)) - {3, 7})
    assert "left out: 1 bad images" in notes[0] and "03.jpg" not in studio.asked
    assert [note.split(":")[0] for note in notes[1:3]] == ["skipped task 90", "skipped for now task 7"]
    assert project.quarantined().keys() == {3, 4}  # embedding decides that, not this
    del studio.status["07.jpg"]
    pretext_project(runtime, project, options)
    assert 7 in runtime.cache(project, generation).rows()


def test_a_refused_key_leaves_everything_as_it_was(runtime, with_tasks, studio, options):
    project = with_tasks
    project.set(rotation_generation="before")
    studio.status.update(dict.fromkeys((f"{task:02d}.jpg" for task in range(IMAGES)), 401))
    with pytest.raises(LabelStudioError):
        pretext_project(runtime, project, options)
    assert project.get("rotation_generation") == "before"
    assert not list(runtime.deployment.home.rglob("*.safetensors"))


def test_a_home_that_cannot_be_written(runtime, with_tasks, options):
    runtime.deployment.home.write_text("a file where the folder should be")
    with pytest.raises(LabelQueueError, match="cannot be written"):
        pretext_project(runtime, with_tasks, options)


# -- the command


def test_the_command_on_a_folder(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LABELQUEUE_HOME", str(tmp_path / "home"))
    assert main(["pretext", "--images", str(photos), "--size", "16", "--epochs", "1"]) == 0
    printed = capsys.readouterr()
    assert f"{IMAGES} images have rotation features" in printed.out and "guessing: 25%" in printed.err
    assert list((tmp_path / "home" / "select").rglob("*.block"))


def test_the_command_on_a_project(store, redis_home, studio, capsys, monkeypatch):
    monkeypatch.setenv("LABELQUEUE_HOME", str(redis_home))
    monkeypatch.setenv("LABEL_STUDIO_URL", studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)
    project = Project(store, ProjectRef(studio.url, 9, 1_800_000_000))
    project.register(title="animals")
    put(project, range(IMAGES))
    assert main(["pretext", "9", "--size", "16", "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "project 9: 30 images have rotation features" in printed
    assert "labelqueue set 9 bal_features=rotation" in printed
    assert main(["pretext", "10"]) == 1 and "project 10" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", ["", "7 --images x", "7 --size 40", "7 --epochs 0", "7 --size 8", "seven", "7 --size big"]
)
def test_wrong_usage_is_exit_status_2(wrong):
    with pytest.raises(SystemExit) as caught:
        main(["pretext", *wrong.split()])
    assert caught.value.code == 2
