"""The map of a real project: made at once, laid out when there is time, up to date with tasks, labels and orders."""

import numpy as np
import pytest

from desk import Desk
from labelqueue.block import Block, source_hash
from labelqueue.exceptions import ProjectError
from labelqueue.gallery.layouts import keep_layout, load_layout
from labelqueue.gallery.maps import COLUMNS, Maps
from labelqueue.gallery.questions import map_question
from labelqueue.jobs.queues import PAGE_SLOW, queue
from labelqueue.labels import UNLABELED
from labelqueue.pagework import answering, maps
from labelqueue.pagework.maps import lay_out, show_map
from labelqueue.state.task_row import TaskRow
from labelqueue.worker.runtime import Runtime, install

N = 120


@pytest.fixture
def desk(project, deployment):
    project.put_settings({"trials": 1, "horizon": 10, "strategy": "freesel"}, "test")
    runtime = Runtime(deployment)
    install(runtime)
    desk = Desk(runtime, project, N)
    desk.tend()
    return desk


def read(project, facts):
    """Return ids, points and columns of a map as a page reads them."""
    shown, n = Maps(project), facts["count"]
    ids = np.frombuffer(shown.ids(), "<f8").astype(int)
    points = np.frombuffer(shown.points(), "<u2").reshape(-1, 2)
    columns = {name: np.frombuffer(shown.column(name), np.uint8) for name in COLUMNS}
    assert ids.shape == (n,) and points.shape == (n, 2) and {len(column) for column in columns.values()} == {n}
    return ids, points, columns


def named(facts, columns, name, row):
    return facts["columns"][name]["names"][columns[name][row]]


def test_the_first_map_is_there_at_once_and_a_better_one_follows(desk, store, monkeypatch):
    project = desk.project
    assert Maps(project).facts() is None
    with pytest.raises(ProjectError, match="has no map yet"):
        Maps(project).points()
    first = show_map(desk.runtime, project)
    assert first["projection"] == "pca" and first["laying_out"] and first["count"] == N and first["missing"] == 0
    assert len(queue(store, PAGE_SLOW)) == 1
    assert show_map(desk.runtime, project) == first, "nothing changed"
    ids, points, _ = read(project, first)
    assert ids.tolist() == list(range(1, N + 1)) and np.ptp(points[:, 0].astype(int)) > 60_000
    (job,) = queue(store, PAGE_SLOW).jobs
    assert job.func_name == "labelqueue.pagework.page_job" and job.timeout > 600
    key, name, details, _ = job.args
    asked = map_question(project).state
    better = answering.answered(desk.runtime, key, name, details)
    assert better["projection"] == "tsne" and not better["laying_out"] and better["revision"] != first["revision"]
    assert map_question(project).state != asked, "a page that waits asks anew"
    assert show_map(desk.runtime, project) == better == Maps(project).facts()
    _, points, _ = read(project, better)
    kinds = np.arange(1, N + 1) % 2
    centers = np.stack([points[kinds == kind].mean(axis=0) for kind in (0, 1)])
    nearest = np.linalg.norm(points[:, None] - centers, axis=2).argmin(axis=1)
    assert (nearest == kinds).mean() > 0.95, "two kinds of images are two groups"
    assert Maps(project).points(first["revision"]) != Maps(project).points(), "who reads the first one can go on"


def test_labels_and_orders_are_seen_and_nothing_moves(desk):
    project, runtime = desk.project, desk.runtime
    show_map(runtime, project)
    before = lay_out(runtime, project, "", 0.0)
    _, points, columns = read(project, before)
    live = [place.task for place in desk.live.places]
    assert named(before, columns, "order", live[0] - 1) in ("next in the order", "random control")
    assert columns["rank"][live[0] - 1] == 0 and columns["rank"][live[-1] - 1] == 254
    desk.play(40)
    after = show_map(runtime, project)
    _, now, columns = read(project, after)
    assert after["projection"] == "tsne" and after["of"] != before["of"] and (now == points).all()
    states = [named(after, columns, "state", row) for row in range(N)]
    assert states.count("labeled") == 40 and states.count("unlabeled") == N - 40
    for task, kind in desk.memory.trained_on.items():
        assert named(after, columns, "label", task - 1) == kind
        assert columns["doubt"][task - 1] == 255
    predicted = [named(after, columns, "prediction", row) == desk.truth[row + 1] for row in range(N)]
    assert np.mean(predicted) > 0.9
    unlabeled = np.array([state == "unlabeled" for state in states])
    assert (columns["doubt"][unlabeled] < 255).all()


def test_new_images_stand_beside_their_like_and_deleted_ones_go(desk):
    project, runtime = desk.project, desk.runtime
    show_map(runtime, project)
    lay_out(runtime, project, "", 0.0)
    _, before, _ = read(project, Maps(project).facts())
    cache = runtime.cache(project, project.get("generation"))
    source = cache.load(np.array([7, 8]))
    copies = Block(
        np.array([N + 7, N + 8]),
        np.array([source_hash(f"u{N + 7}"), source_hash(f"u{N + 8}")], np.uint64),
        source.embeddings,
        source.patterns,
        source.offsets,
    )
    cache.put(copies)
    project.put_tasks({task: TaskRow(f"u{task}", UNLABELED) for task in (N + 7, N + 8, N + 9)})
    project.drop_tasks([1, 2])
    facts = show_map(runtime, project)
    ids, points, _ = read(project, facts)
    assert ids.tolist() == [*range(3, N + 1), N + 7, N + 8] and facts["missing"] == 1
    assert (points[: N - 2] == before[2:]).all(), "nothing else moves"
    assert np.abs(points[-2:].astype(int) - before[[6, 7]]).max() < 700


def test_a_pool_that_doubled_is_laid_out_anew_and_stays_what_it_was(desk, store):
    project, runtime = desk.project, desk.runtime
    show_map(runtime, project)
    lay_out(runtime, project, "", 0.0)
    queue(store, PAGE_SLOW).empty()
    _, before, _ = read(project, Maps(project).facts())
    rng, ids = np.random.default_rng(1), np.arange(N + 1, 2 * N + 1)
    rows = (np.eye(2, 8)[ids % 2] * 4 + rng.normal(size=(N, 8))).astype(np.float16)
    sources = np.array([source_hash(f"u{task}") for task in ids.tolist()], np.uint64)
    cache = runtime.cache(project, project.get("generation"))
    project.put_tasks({task: TaskRow(f"u{task}", UNLABELED) for task in ids.tolist()})
    cache.put(Block(ids, sources, rows, rows, np.arange(N + 1, dtype=np.int64)))
    facts = show_map(runtime, project)
    assert facts["count"] == 2 * N and facts["laying_out"] and facts["fitted"] == N
    (job,) = queue(store, PAGE_SLOW).jobs
    job.delete()  # as if its worker was killed
    assert show_map(runtime, project) == facts and len(queue(store, PAGE_SLOW)) == 1, "it is asked for again"
    facts = lay_out(runtime, project, "", 0.0)
    assert facts["fitted"] == 2 * N and not facts["laying_out"]
    _, after, _ = read(project, facts)
    kinds = np.arange(1, N + 1) % 2
    old, new = (np.stack([points[:N][kinds == kind].mean(axis=0) for kind in (0, 1)]) for points in (before, after))
    assert np.linalg.norm(old - new, axis=1).max() < np.linalg.norm(old[0] - old[1]) / 2


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_few_images_are_a_map_too(project, deployment, count):
    runtime = Runtime(deployment)
    install(runtime)
    desk = Desk(runtime, project, count)
    desk.tend()
    facts = show_map(runtime, project)
    assert facts["count"] == count and facts["projection"] == "pca" and not facts["laying_out"]
    _, points, _ = read(project, facts)
    assert len(np.unique(points, axis=0)) == count
    again = lay_out(runtime, project, "", 0.0)  # asked for when there were more
    assert again["count"] == count


def test_a_project_without_images_says_so(project, deployment):
    with pytest.raises(ProjectError, match="is embedded yet"):
        show_map(Runtime(deployment), project)


def test_a_layout_that_was_replaced_meanwhile_is_not_brought_back(desk):
    project, generation = desk.project, desk.project.get("generation")
    show_map(desk.runtime, project)
    old = load_layout(project, generation)
    lay_out(desk.runtime, project, "", 0.0)
    assert not keep_layout(project, generation, old)
    assert load_layout(project, generation).projection == "tsne"


def test_images_are_added_to_the_layout_that_another_worker_made_meanwhile(desk, monkeypatch):
    project, runtime, keep = desk.project, desk.runtime, maps.keep_layout

    def meanwhile(*arguments):
        monkeypatch.setattr(maps, "keep_layout", keep)
        lay_out(runtime, project, "", 0.0)
        return keep(*arguments)

    monkeypatch.setattr(maps, "keep_layout", meanwhile)
    assert show_map(runtime, project)["projection"] == "tsne" == Maps(project).facts()["projection"]


def test_a_damaged_layout_is_made_anew(desk, store, caplog):
    project, generation = desk.project, desk.project.get("generation")
    show_map(desk.runtime, project)
    store.hset(project.name("cache", generation, "layout"), "layout", b"x" * 100)
    project.set(title="other")
    assert show_map(desk.runtime, project)["count"] == N
    assert "do not match their checksum" in caplog.text


def test_everything_goes_with_its_generation_and_with_the_project(desk, store):
    project = desk.project
    show_map(desk.runtime, project)
    desk.runtime.cache(project, project.get("generation")).delete()
    assert not store.exists(project.name("cache", project.get("generation"), "layout"))
    project.set(generation="another")
    assert Maps(project).facts() is None
    with pytest.raises(ProjectError, match="is embedded yet"):
        show_map(desk.runtime, project)
    project.forget()
    assert not list(store.scan_iter(project.name("*")))
