"""What nobody needs is removed, from Redis and from disks; what was forgotten stays gone; what may return is kept."""

from __future__ import annotations

import os
import time
from functools import partial

import numpy as np
import pytest
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from conftest import CONFIG, ORIGIN
from desk import Desk
from labelqueue.block import Block
from labelqueue.exceptions import EmbedderError
from labelqueue.jobs import queues, request_tend, shards
from labelqueue.labels.annotations import UNLABELED
from labelqueue.state.pattern_cache import PatternCache
from labelqueue.state.people import People
from labelqueue.state.project import FORGOTTEN, Project, ProjectRef
from labelqueue.state.task_row import TaskRow
from labelqueue.worker import embedding, models, upkeep
from labelqueue.worker import look as tending
from labelqueue.worker.housekeeping import Housekeeper
from labelqueue.worker.runtime import Runtime, install
from labelqueue.worker.upkeep import LEFT_BEHIND, REMEMBERED, UNKNOWN, sweep_files, sweep_keys

NOW = 1_900_000_000.0


@pytest.fixture
def desk(project, deployment, monkeypatch, tmp_path):
    """A project whose first order is live; its copies of embeddings are in a folder of the test's own."""
    monkeypatch.setattr(tending, "get_current_job", lambda: None)
    monkeypatch.setattr(Runtime, "spool", tmp_path / "spool")
    project.put_settings({"trials": 1, "horizon": 10, "strategy": "freesel", "prelabel": "off"}, "test")
    desk = Desk(Runtime(deployment), project, 60)
    install(desk.runtime)
    tending.tend_job(project.key)
    assert desk.live
    return desk


def keys_of(project):
    return sorted(key.decode() for key in project.store.scan_iter(f"*{project.key}*"))


class TestALateJob:
    """A project is forgotten while jobs on it wait or run."""

    def run_worker(self, store):
        """Let a real worker do what waits, in this process."""
        for queue in (queues.queue(store, name) for name in (queues.TEND, queues.EMBED)):
            worker = SimpleWorker([queue], connection=store, serializer=JSONSerializer)
            worker._install_signal_handlers = lambda: None
            worker.work(burst=True, max_jobs=5, logging_level="CRITICAL")

    def test_that_waited_does_nothing(self, desk, project, store):
        store.zadd(project.name("pending"), {"1": 1, "2": 2})
        shards.enqueue_shards(project)
        store.delete(project.name("queued"))
        request_tend(project)
        project.forget()
        self.run_worker(store)
        assert keys_of(project) == [] and Project.all(store) == []

    def test_that_runs_takes_along_what_it_wrote(self, desk, project, store, monkeypatch):
        """Forgotten in the middle of a look: it goes on writing facts, labels, orders and a delayed request."""
        whole = tending.read_project

        def forgotten(*arguments, **options):
            project.forget()
            return whole(*arguments, **options)

        monkeypatch.setattr(tending, "read_project", forgotten)
        project.set(want_full="1")
        tending.tend_job(project.key)
        assert [key for key in keys_of(project) if key.startswith("lq:")] == [] and Project.all(store) == []

    def test_that_embeds_too(self, desk, project, store, monkeypatch):
        desk.server.rows = {}
        project.put_tasks({task: TaskRow(f"data:,{task}", UNLABELED) for task in (101, 102)})
        store.zadd(project.name("pending"), {"101": 1, "102": 2})

        def forgotten(runtime, here, ids, *more):
            project.forget()
            desk.embed(8)
            here.quarantine({101: ("u", "bad")})
            here.count("arrivals", 2)
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(embedding, "embed_shard", forgotten)
        shards.enqueue_shards(project)
        store.delete("rq:queue:tend")
        self.run_worker(store)
        assert list(store.scan_iter(f"lq:{project.key}:*")) == []
        assert store.zcard("lq:delayed") == 0 and store.llen("rq:queue:tend") == 0

    def test_whose_worker_was_killed_is_cleaned_up_after(self, desk, project, store):
        project.forget()
        project.set(error="written by a job that died then")
        People(project).note([5])
        round_of(desk.runtime)
        assert keys_of(project) == []

    def test_a_project_that_is_connected_again_keeps_what_is_written(self, project, store):
        project.forget()
        project.register(title="again")
        assert upkeep.sweep(store, project.key, time.time()) == 0
        sweep_keys(store)
        assert project.get("title") == "again"


def round_of(runtime):
    housekeeper = Housekeeper(runtime, "w1")
    housekeeper.done.set()
    housekeeper.run()


class TestKeysThatNobodyKnows:
    def test_are_kept_for_a_week(self, project, store):
        """Left by a version that wrote down nothing of forgetting; or the list of projects was lost, and comes back."""
        store.hdel("lq:projects", project.key)
        for after in (0, UNKNOWN - 60):
            sweep_keys(store, NOW + after)
            assert project.get("title") == "animals"
        sweep_keys(store, NOW + UNKNOWN)
        assert not store.exists(project.name("info"))

    def test_are_kept_when_the_project_is_known_again(self, project, store):
        store.hdel("lq:projects", project.key)
        sweep_keys(store, NOW)
        project.register()
        sweep_keys(store, NOW + UNKNOWN)
        assert project.get("title") == "animals" and store.zcard(FORGOTTEN) == 0

    def test_of_others_are_never_touched(self, project, store):
        store.set("lq:worker:w1", "1")
        store.set("lq:something-else:5", "1")
        store.set("other:deadbeef-1-1:x", "1")
        project.forget()
        sweep_keys(store, NOW + 2 * REMEMBERED)
        assert store.exists("lq:worker:w1", "lq:something-else:5", "other:deadbeef-1-1:x") == 3
        assert store.zcard(FORGOTTEN) == 0, "it is not remembered for ever"


class TestFiles:
    """Copies of embeddings on this machine's disk, by what Redis remembers."""

    @pytest.fixture
    def home(self, tmp_path, project):
        cache = PatternCache(project, "g1", tmp_path / "spool")
        desk_block(cache)
        cache.load(*cache.columns())
        (tmp_path / "pretext").mkdir()
        (tmp_path / "pretext" / f"{project.key}-64.safetensors").write_bytes(b"n")
        (tmp_path / "spool" / "notes.txt").write_text("mine")
        return tmp_path

    def here(self, home):
        """Return the files, those of a generation's copy as one."""
        files = [path for path in home.rglob("*") if path.is_file()]
        return sorted({str((p.parent if p.parent.name == "g1" else p).relative_to(home)) for p in files})

    def test_what_is_known_stays(self, home, project, store):
        for when in (NOW, NOW + 2 * UNKNOWN):
            sweep_files(store, home, when)
        assert len(self.here(home)) == 3

    def test_of_a_forgotten_project_go_at_once(self, home, project, store):
        project.forget()
        sweep_files(store, home)
        assert self.here(home) == ["spool/notes.txt"]

    def test_an_emptied_redis_wipes_no_disk(self, home, project, store):
        whole = self.here(home)
        store.flushall()
        for when in (0, 60, UNKNOWN - 60):
            sweep_files(store, home, NOW + when)
            assert self.here(home) == whole
        project.register()  # as after a restored backup
        desk_block(PatternCache(project, "g1", home / "elsewhere"))
        sweep_files(store, home, NOW + UNKNOWN)
        assert len(self.here(home)) == 3
        store.flushall()
        sweep_files(store, home, NOW)
        sweep_files(store, home, NOW + UNKNOWN)
        assert self.here(home) == ["spool/notes.txt"]

    def test_of_a_generation_that_another_machine_removed_go_at_once(self, home, project, store):
        PatternCache(project, "g1", home / "another-machine").delete()
        sweep_files(store, home)
        assert self.here(home) == [f"pretext/{project.key}-64.safetensors", "spool/notes.txt"]

    def test_of_a_generation_that_redis_lost_are_kept_for_a_week(self, home, project, store):
        project.drop("cache:*")
        sweep_files(store, home, NOW)
        assert len(self.here(home)) == 3
        sweep_files(store, home, NOW + UNKNOWN)
        assert len(self.here(home)) == 2

    def test_copies_of_blocks_that_are_no_more_and_unfinished_ones_go(self, home, project, store):
        folder = home / "spool" / project.key / "g1"
        whole = {*folder.iterdir()}
        for name in ("00000009.block", "embeddings-000000", "ledger-000002"):
            (folder / name).write_bytes(b"x")
        (folder / ".old-1.part").write_bytes(b"x")
        (folder / ".new-2.part").write_bytes(b"x")
        os.utime(folder / ".old-1.part", (0, time.time() - LEFT_BEHIND - 60))
        sweep_files(store, home)
        assert {*folder.iterdir()} == {*whole, folder / ".new-2.part"}

    def test_each_worker_sees_to_its_own_disk(self, desk, project, monkeypatch, tmp_path):
        swept = []
        monkeypatch.setattr("labelqueue.worker.housekeeping.sweep_files", lambda store, home: swept.append(home))
        round_of(desk.runtime)
        round_of(desk.runtime)
        assert swept == [desk.runtime.deployment.home] * 2
        assert 0 < project.store.pttl("lq:tidied") <= 600_000


def desk_block(cache):
    """Store two rows."""
    rows = np.ones((2, 4), np.float16)
    cache.put(Block(np.array([1, 2]), np.array([1, 2], np.uint64), rows, rows, np.arange(3)))


class TestGenerations:
    def test_a_half_built_one_goes_when_the_setting_is_back(self, desk, project):
        old = project.get("generation")
        project.put_settings({"n_patterns": 2}, "test")
        half = embedding.generation_of(desk.runtime, project.target(), project.settings())
        desk_block(desk.runtime.cache(project, half))
        desk.tend()
        assert PatternCache.generations(project) == {old, half}, "it is being built"
        project.put_settings({"n_patterns": 1}, "test")
        desk.tend()
        assert PatternCache.generations(project) == {old} and project.get("generation") == old
        desk_block(desk.runtime.cache(project, half))  # by a shard that was late
        project.set(want_full="1")
        desk.tend()
        assert PatternCache.generations(project) == {old}

    def test_those_of_other_features_stay(self, desk, project):
        for number, fact in enumerate(("rotation_generation", "rotation_building", "import_building")):
            desk_block(desk.runtime.cache(project, f"r{number}"))
            project.set(**{fact: f"r{number}"})
        desk_block(desk.runtime.cache(project, "i0"))
        project.set(imported='{"model": "imported own", "generation": "i0"}')
        desk_block(desk.runtime.cache(project, "r9"))
        desk.tend()
        assert PatternCache.generations(project) == {project.get("generation"), "r0", "r1", "r2", "i0"}

    @pytest.mark.parametrize("why", ["the weights cannot be had", ""])
    def test_while_the_model_cannot_be_had_or_is_not_known_yet_nothing_is_removed(
        self, desk, project, monkeypatch, why
    ):
        desk_block(desk.runtime.cache(project, "half"))
        deployment = desk.runtime.deployment
        choice = models.chosen(project, deployment, project.target())
        models.forget_cards(project.store, deployment)
        if why:
            models.keep_error(project.store, deployment, False, EmbedderError(why), choice)
        project.set(want_full="1")
        desk.tend()
        assert "half" in PatternCache.generations(project) and project.get("embedder_error") == why


def test_what_is_left_of_deleted_tasks_goes_with_the_next_complete_reading(desk, project, store):
    generation = project.get("generation")
    cache = desk.runtime.cache(project, generation)
    assert cache.columns()[0].size == 60 and len(store.hkeys(project.name("cache", generation, "blocks"))) == 1
    before = len(store.hvals(project.name("cache", generation, "blocks"))[0])
    for task in range(1, 51):
        del desk.server.rows[task]
    project.set(want_full="1")
    desk.tend()
    bad = '{"uri": "u", "reason": "bad"}'
    for name, what in (("quarantine", bad), ("deaths", "1"), ("tries", "1")):  # by a job that was late
        store.hset(project.name(name), mapping={"3": what, "55": what})
    store.zadd(project.name("pending"), {"3": 3})
    project.set(want_full="1", full_at="5")
    desk.tend()
    assert all(store.hkeys(project.name(name)) == [b"55"] for name in ("quarantine", "deaths", "tries"))
    assert store.zscore(project.name("pending"), "3") is None
    assert cache.columns()[0].tolist() == list(range(51, 61))
    (block,) = store.hvals(project.name("cache", generation, "blocks"))
    assert len(block) < before / 2 and project.task_count() == 10 and desk.live


def test_tidying_costs_nothing_while_nothing_changed(desk, project, monkeypatch):
    monkeypatch.setattr("labelqueue.publishing.tidying.QUIET", -1.0)  # predictions of old orders are tidied up as well
    desk.tend()
    monkeypatch.setattr(PatternCache, "generations", partial(pytest.fail, "it was looked for again"))
    desk.tend()


def test_deleted_tasks_take_their_failures_along(project, store):
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in (1, 2)})
    for name in ("quarantine", "deaths", "tries"):
        store.hset(project.name(name), mapping={"1": "1", "2": "1"})
    project.drop_tasks([1])
    assert all(store.hkeys(project.name(name)) == [b"2"] for name in ("tasks", "quarantine", "deaths", "tries"))


def test_forgetting_one_project_leaves_others_alone(project, store):
    other = Project(store, ProjectRef(ORIGIN, 77, 1_800_000_000))
    other.register(label_config=CONFIG)
    project.forget()
    sweep_keys(store)
    assert [found.ref.id for found in Project.all(store)] == [77] and other.get("label_config")
