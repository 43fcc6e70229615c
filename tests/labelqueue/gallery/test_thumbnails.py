"""The cache of thumbnails: its bound over all projects, what goes with tasks and projects, reasons, what pages want."""

import random
import threading
import time

import pytest

from conftest import ORIGIN
from labelqueue.block import source_hash
from labelqueue.gallery import thumbnails as module
from labelqueue.gallery.thumbnails import AROUND, MEGABYTE, Thumbnails, kept_bytes, tidy, trim
from labelqueue.jobs import PAGE
from labelqueue.jobs.queues import job_queues
from labelqueue.labels import UNLABELED
from labelqueue.state import Project, ProjectRef, TaskRow
from labelqueue.store import connect

PLENTY = 10 * MEGABYTE


def known(project, *tasks):
    """Let a project have these tasks."""
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in tasks})
    return Thumbnails(project)


def another(store, number):
    found = Project(store, ProjectRef(ORIGIN, number, 1_800_000_000))
    found.register(label_config="", title=str(number), tag="abc", tags="abc")
    return found


def consistent(store):
    """Whether the index, the sum and what is there agree."""
    sizes = {}
    for project in Project.all(store):
        for task, raw in store.hgetall(project.name("thumbs")).items():
            sizes[f"{project.key}:{int(task)}:{len(raw)}"] = len(raw) + AROUND
    members = {raw.decode() for raw in store.zrange("lq:thumbs", 0, -1)}
    return members == sizes.keys() and kept_bytes(store) == sum(sizes.values())


def test_what_is_put_is_there_and_a_replaced_image_has_another(project, store):
    thumbnails = known(project, 1, 2)
    assert thumbnails.put({1: (7, b"one"), 2: (2**64 - 1, b"\0\xff two")}, PLENTY)
    assert thumbnails.get(1) == (7, b"one") and thumbnails.get(2) == (2**64 - 1, b"\0\xff two")
    assert thumbnails.get(3) is None and thumbnails.sources_of([1, 2, 3]) == {1: 7, 2: 2**64 - 1}
    thumbnails.put({1: (8, b"another one")}, PLENTY)
    assert thumbnails.get(1) == (8, b"another one") and consistent(store)
    thumbnails.put({1: (9, b"another two")}, PLENTY)  # as many bytes
    assert thumbnails.get(1) == (9, b"another two") and consistent(store)


def test_none_is_kept_without_room_or_of_a_task_that_is_gone(project, store):
    thumbnails = known(project, 1)
    assert not thumbnails.put({1: (7, b"one")}, 0)
    thumbnails.put({2: (7, b"late")}, PLENTY)
    assert store.hlen(project.name("thumbs")) == 0 and kept_bytes(store) == 0


def test_the_oldest_of_all_projects_go(project, store):
    first, second = known(project, *range(10)), known(another(store, 8), *range(10))
    limit = 10 * (1000 + 8 + AROUND)
    for task in range(10):
        first.put({task: (task, bytes(1000))}, limit)
        second.put({task: (task, bytes(1000))}, limit)
    assert kept_bytes(store) == limit and consistent(store)
    assert sorted(first.sources_of(range(10))) == sorted(second.sources_of(range(10))) == [5, 6, 7, 8, 9]
    first.put({5: (50, bytes(1000))}, limit)  # cut again, it is young again
    first.put({0: (0, bytes(1000))}, limit)
    assert first.get(5) == (50, bytes(1000)) and second.get(5) is None and consistent(store)
    trim(store, 0)
    assert kept_bytes(store) == 0 and not store.exists("lq:thumbs", project.name("thumbs"))


def test_the_bound_holds_while_several_workers_put(project, deployment, store):
    """Each has a connection of its own; above the limit there is at most what they are putting at that moment."""
    limit, workers, shard = 400_000, 4, 32
    known(project, *range(2000))
    known(other := another(store, 8), *range(2000))
    most, done = [], threading.Event()

    def work(seed):
        rng, mine = random.Random(seed), connect(deployment)
        here = [Thumbnails(Project(mine, one.ref)) for one in (project, other)]
        for _ in range(25):
            shards = {
                rng.randrange(2000): (rng.getrandbits(64), rng.randbytes(rng.randrange(800, 2400)))
                for _ in range(shard)
            }
            rng.choice(here).put(shards, limit)
        mine.close()

    def watch():
        mine = connect(deployment)
        while not done.wait(0.002):
            most.append(kept_bytes(mine))
        mine.close()

    watcher = threading.Thread(target=watch)
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(workers)]
    for thread in (watcher, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    watcher.join()
    assert limit / 2 < kept_bytes(store) <= limit and consistent(store)
    assert max(most) <= limit + workers * shard * (2400 + 8 + AROUND)


def test_what_is_counted_is_what_redis_takes(project, store):
    """The sum is about what the memory grows by, a little more rather than less."""
    thumbnails = known(project, *range(4000))
    before, rng = store.info("memory")["used_memory"], random.Random(0)
    for start in range(0, 4000, 32):
        thumbnails.put(
            {task: (task, rng.randbytes(rng.randrange(900, 2200))) for task in range(start, start + 32)}, PLENTY
        )
    grown = store.info("memory")["used_memory"] - before
    assert 0.9 * kept_bytes(store) < grown < 1.1 * kept_bytes(store)


def test_they_go_with_their_tasks_and_the_project(project, store):
    thumbnails = known(project, 1, 2, 3)
    theirs = known(another(store, 8), 1)
    thumbnails.put({task: (task, b"x" * task) for task in (1, 2, 3)}, PLENTY)
    theirs.put({1: (1, b"theirs")}, PLENTY)
    thumbnails.note({2: (2, "bad")}, 60)
    project.drop_tasks([2])
    assert thumbnails.sources_of([1, 2, 3]) == {1: 1, 3: 3} and thumbnails.reasons({2: 2}) == {}
    tidy(store, PLENTY)
    assert consistent(store) and theirs.get(1) == (1, b"theirs")
    project.forget()
    assert list(store.scan_iter(project.name("*"))) == []
    tidy(store, PLENTY)
    assert consistent(store) and store.zcard("lq:thumbs") == 1


def test_what_went_with_its_task_costs_no_other_its_place(project, store):
    """A task that comes back under its number, with as many bytes or others, counts once."""
    thumbnails = known(project, 1, 2)
    thumbnails.put({1: (1, b"old")}, PLENTY)
    project.drop_tasks([1])
    known(project, 1)
    thumbnails.put({1: (1, b"new")}, PLENTY)
    assert consistent(store)
    project.drop_tasks([1])
    known(project, 1)
    thumbnails.put({1: (2, b"longer")}, PLENTY)
    trim(store, kept_bytes(store) - 1)  # the old member is struck off, and the picture stays
    assert thumbnails.get(1) == (2, b"longer") and consistent(store)


def test_a_smaller_limit_holds_with_the_next_tidying(project, store):
    thumbnails = known(project, *range(1200))
    thumbnails.put({task: (task, bytes(100)) for task in range(1200)}, PLENTY)
    tidy(store, 100_000)
    assert 0 < kept_bytes(store) <= 100_000 and consistent(store)
    tidy(store, 0)
    assert kept_bytes(store) == 0 and consistent(store)


def test_they_give_way_when_redis_is_nearly_full_or_full(project, store):
    """What a worker has to keep besides is never refused for them. Margins are wide, since Redis counts what lies in
    its connections, too: some megabytes that come and go."""
    thumbnails = known(project, *range(3000))
    for start in range(0, 2000, 100):
        thumbnails.put({task: (task, bytes(20_000)) for task in range(start, start + 100)}, 10 * PLENTY)
    before, used = kept_bytes(store), store.info("memory")["used_memory"]
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "NEARLY_FULL", 0.3)
            store.config_set("maxmemory", 2 * used)
            assert not thumbnails.put({2500: (1, b"one")}, PLENTY)
        assert 0 < kept_bytes(store) <= before / 2 and consistent(store)
        with pytest.MonkeyPatch.context() as patch:  # it fills up between the look and the writing
            patch.setattr(module, "_nearly_full", lambda store: False)
            store.config_set("maxmemory", store.info("memory")["used_memory"] - 5_000_000)
            before = kept_bytes(store)
            assert not thumbnails.put({2500: (1, b"one")}, PLENTY)
        assert kept_bytes(store) <= before / 2 and consistent(store)
        project.set(error="")  # Redis takes writes again
    finally:
        store.config_set("maxmemory", 0)


def test_reasons_are_of_one_image_and_for_a_while(project, store, monkeypatch):
    thumbnails = known(project, 1, 2, 3)
    thumbnails.note({1: (11, "damaged"), 2: (22, "no answer")}, 30.0)
    assert thumbnails.reasons({1: 11, 2: 23, 3: 33}) == {1: "damaged"}
    project.quarantine({3: ("/3.jpg", "truncated")})
    assert thumbnails.reasons({3: source_hash("/3.jpg")}) == {3: "truncated"}
    assert thumbnails.reasons({3: source_hash("/new.jpg")}) == {} == thumbnails.reasons({})
    later = time.time() + 31
    with monkeypatch.context() as patch:
        patch.setattr(module.time, "time", lambda: later)
        assert thumbnails.reasons({1: 11}) == {}
    thumbnails.put({1: (11, b"one")}, PLENTY)
    assert thumbnails.reasons({1: 11, 2: 22}) == {2: "no answer"}, "one that is there has none"
    thumbnails.forgive([2])
    assert thumbnails.reasons({2: 22}) == {}
    thumbnails.note({1: (11, "damaged")}, 1e9)
    assert 0 < store.ttl(project.name("thumbless")) <= module.REMEMBERED
    project.release_quarantine()
    assert thumbnails.reasons({1: 11, 3: source_hash("/3.jpg")}) == {}, "whoever tries again means these, too"


def test_what_pages_want_at_about_the_same_time_is_one_job_and_the_newest_comes_first(project, store, monkeypatch):
    thumbnails = known(project, *range(9))
    for task in (1, 2):
        thumbnails.want([task])
    thumbnails.want([3, 4])
    (queue,) = [queue for queue in job_queues(store, "embedding") if queue.name == PAGE]
    assert len(queue.jobs) == 1 and queue.jobs[0].args[:2] == [project.key, "thumbnails"]
    assert sorted(thumbnails.take_wanted(2)) == [3, 4] and thumbnails.take_wanted(9) == [2, 1]
    assert thumbnails.take_wanted(9) == []
    thumbnails.want([5])
    later = time.time() + 31
    monkeypatch.setattr(module.time, "time", lambda: later)
    assert thumbnails.take_wanted(9) == [], "nobody looks at that page any more"
    assert store.ttl(project.name("thumbs_wanted")) <= 60
