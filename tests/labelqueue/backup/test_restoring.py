"""A backup brings a campaign back: the same settings, orders, memory and embeddings, and the queue goes on."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from before import its_server
from before import restore as leave_what_0_1_0_left
from conftest import ORIGIN
from desk import Desk, Server
from labelqueue import admin
from labelqueue.backup import restoring
from labelqueue.backup.archive import Reader
from labelqueue.backup.restoring import restore
from labelqueue.backup.saving import back_up
from labelqueue.exceptions import BackupError, LabelStudioError, NotFoundError
from labelqueue.state.campaigns import load_campaign, rows_keys
from labelqueue.state.orders import Orders
from labelqueue.state.pattern_cache import PatternCache
from labelqueue.state.pins import Pins
from labelqueue.state.project import Project, ProjectRef
from labelqueue.store.lock import ProjectLock
from labelqueue.worker.runtime import Runtime

SECRET = "a-secret-of-the-webhook"


@pytest.fixture
def desk(deployment, project):
    """A campaign in its warm phase, with settings of several origins."""
    found = Desk(Runtime(deployment), project, 60)
    project.put_settings({"seed": 4, "switch_after": 20, "trials": 3, "control_share": 0.2}, "command line")
    project.take_extra_params({"horizon": 10})
    project.store.hset(project.name("info"), "secret", SECRET)
    project.set(backend_url="http://user:a-password@localhost:9090", sampling_before="Uniform sampling")
    found.tend()
    found.play(36, step=6)
    return found


@pytest.fixture
def saved(desk, tmp_path):
    path = tmp_path / "it.backup"
    told = back_up(desk.project, path, tmp_path / "spool", show=False)
    assert told["orders"] > 1 and told["labels"] >= 20 and told["images"] == told["tasks"] == 60
    return path


@pytest.fixture
def bring(desk, saved, tmp_path):
    """Restore the backup; what is asked is kept."""

    def run(answer=True, client=None, path=saved, store=desk.project.store, **options):
        asked = []

        def confirm(lines):
            asked.extend(lines)
            return answer

        with Reader(path) as reader:
            told = restore(
                store, client or desk.server, ORIGIN, reader, tmp_path / "spool", confirm=confirm, show=False, **options
            )
        run.asked = asked
        return told

    return run


def picture(project):
    """Everything that a backup is to bring back."""
    orders = Orders(project)
    return {
        "settings": project.setting_choices(),
        "orders": [(order, orders.inputs(order.number)) for order in orders.all()],
        "live": orders.live(),
        "campaign": load_campaign(project).dump(),
        "facts": {
            name: project.get(name)
            for name in ("tag", "tags", "order_number", "arrivals", "served", "hold", "embedder")
        },
    }


def caches(project, spool):
    found = {name: PatternCache(project, name, spool) for name in PatternCache.generations(project)}
    return {name: (cache.rows(), cache.mark()) for name, cache in found.items()}


def dump(store):
    """Every key with its content, but for the lock's numbers."""
    return {key: store.dump(key) for key in store.scan_iter("*") if not key.endswith((b":fence", b":lock", b":queued"))}


def test_after_a_loss_everything_is_as_it_was_and_the_queue_goes_on(desk, bring, project, store, tmp_path):
    before, embedded, live = picture(project), caches(project, tmp_path), desk.live
    imported = len(desk.server.imported)
    store.flushall()
    told = bring()
    assert bring.asked == [], "nothing is here that could be replaced"
    assert told["tasks"] == {"taken": 60, "of": 60, "by_image": 0} and told["same_project"] and told["connected"]
    assert told["images"]["taken"] == 60 and told["orders"]["taken"] == told["orders"]["of"] == len(before["orders"])
    assert picture(project) == before and caches(project, tmp_path) == embedded
    assert project.get("secret") not in ("", SECRET), "a new one, which the next look installs"
    assert store.llen("rq:queue:tend") == 1, "a running worker goes on by itself"
    while desk.tend() and project.get("reading"):
        pass
    assert desk.live == live and len(desk.server.imported) == imported, "nothing is published anew"
    assert store.zcard(project.name("pending")) == 0 and project.get("arrivals") == before["facts"]["arrivals"]
    spool = tmp_path / "other spool"
    for order in Orders(project).all():
        verified = admin.verify_order(project, order, lambda generation: PatternCache(project, generation, spool))
        assert verified["outcome"] == admin.SAME, verified
    desk.play(20)
    assert desk.live.number > live.number and desk.memory.trainings > 1
    assert not list(store.scan_iter("*restoring*")) and store.ttl(project.name("campaign", "3")) == -1
    kept = [key.decode() for key in store.scan_iter("*:campaign:3:said:*")]
    assert kept == rows_keys(project) and store.ttl(kept[0]) == -1


def test_pins_and_exclusions_come_back_with_their_acts(desk, bring, project, store, tmp_path):
    left = [task for task in range(1, 61) if not desk.server.rows[task]["annotations"]]
    act = admin.pin(project, left[:3], "x")["act"]
    admin.exclude(project, left[3:5], "blurry", "x")
    desk.tend()
    path, before = tmp_path / "pins.backup", Pins(project).dump()
    told = back_up(project, path, tmp_path / "spool", show=False)
    assert (told["pinned"], told["excluded"]) == (3, 2)
    queue = desk.live.queue
    store.flushall()
    assert bring(path=path)["curation"] == {"pinned": 3, "excluded": 2} and bring.asked == []
    assert Pins(project).dump() == before and desk.live.queue == queue
    admin.unpin(project, left[:1], "x")
    bring(path=path)
    assert "pins and exclusions: up to act 3 here, up to act 2 then" in bring.asked
    assert Pins(project).dump() == before and project.get("act_number") == "3", "numbers are never given twice"
    assert admin.undo(project, act)["changed"] == 3


def test_labels_that_came_after_the_backup_are_learned_from_label_studio(desk, bring, project, store):
    desk.label(12)
    store.flushall()
    bring()
    while desk.tend() and project.get("reading"):
        pass
    desk.tend()
    assert len(desk.memory.trained_on) + len(desk.memory.heard) == 48


def test_no_secret_leaves(desk, saved, deployment):
    with Reader(saved) as reader:
        everything = b"\n".join(reader.read(name) for name in reader.names) + json.dumps(reader.manifest).encode()
    for secret in (SECRET, "a-password", deployment.label_studio_api_key, "u59", "restoring"):
        assert secret.encode() not in everything and secret.encode() not in saved.read_bytes(), secret
    assert b'"seed"' in everything and b"pickle" not in everything


def test_what_is_newer_here_is_asked_for_and_a_no_changes_nothing(desk, bring, project, store):
    time.sleep(0.01)
    project.put_settings({"seed": 9, "budget": 50}, "REST")
    desk.play(15)
    before = dump(store)
    assert bring(answer=False) is None and dump(store) == before
    said = "\n".join(bring.asked)
    assert "changed here after the backup: budget, seed" in said and "what was learned here: " in said
    newest, trainings = desk.live, desk.memory.trainings
    told = bring()
    assert project.settings()["seed"] == 4 and "budget" not in project.setting_choices()
    assert desk.memory.trainings < trainings
    assert Orders(project).last_number() >= newest.number and desk.live == newest, "no order is lost"
    assert told["orders"]["taken"] == 0 and told["orders"]["here"] == told["orders"]["of"]
    desk.tend()
    desk.play(5)
    assert desk.live.number > newest.number


def test_onto_what_it_was_made_of_it_changes_nothing_and_asks_nothing(desk, bring, project, tmp_path):
    before, embedded = picture(project), caches(project, tmp_path)
    told = bring()
    assert bring.asked == [] and told["images"]["here"] == 60 and told["images"]["taken"] == 0
    assert picture(project) == before and caches(project, tmp_path) == embedded


def test_images_that_were_embedded_here_since_are_not_embedded_again(desk, bring, project, store, tmp_path):
    """The service found the project again and embedded some before anybody restored."""
    (generation,) = PatternCache.generations(project)
    cache = PatternCache(project, generation, tmp_path / "spool")
    ids, sources = cache.columns()
    block = cache.load(ids[:5], sources[:5])
    newer = replace(block, ids=block.ids + 60)
    store.flushall()
    project.register()
    cache.put(block)
    cache.put(newer)
    told = bring()
    assert told["images"] == {"of": 60, "taken": 60, "here": 0, "added": 5}
    assert set(cache.rows()) == set(range(1, 66)) and len(cache.load(newer.ids, newer.sources)) == 5
    live = Orders(project).live()
    verified = admin.verify_order(project, live, lambda name: PatternCache(project, name, tmp_path / "other"))
    assert verified["outcome"] == admin.SAME, "it was made of the blocks that have their names again"


def test_images_that_were_replaced_or_deleted_are_not_taken(desk, bring, project, store):
    store.flushall()
    desk.server.rows[7]["data"] = {"image": "another"}
    del desk.server.rows[8]
    told = bring()
    assert told["tasks"]["taken"] == told["images"]["taken"] == 58
    (generation,) = PatternCache.generations(project)
    rows = PatternCache(project, generation, desk.runtime.spool).rows()
    assert not {7, 8} & rows.keys() and len(rows) == 58


class TestAnotherProject:
    """Of another server or number: tasks have other ids, and are found by their images."""

    @pytest.fixture
    def other(self, desk, store):
        """A project of the same images under other ids, in another order, one image there twice."""
        project = Project(store, ProjectRef(ORIGIN, 8, 1_850_000_000))
        server = Server(project, 0)
        server.rows = {
            1000 - task: {**row, "id": 1000 - task} for task, row in desk.server.rows.items() if task not in (5, 6)
        }
        server.rows[2000] = {**server.rows[1000 - 7], "id": 2000}
        server.project = lambda number: {**server.remote, "task_number": len(server.rows)}
        return project, server

    def test_it_is_refused_unless_it_is_named(self, bring, other, desk, store):
        before = dump(store)
        _, server = other
        with pytest.raises(BackupError, match=r"is not the one of the backup.*add --project 7"):
            bring(client=server)
        assert dump(store) == before

    def test_what_belongs_to_its_images_is_taken_under_their_ids_there(self, bring, other, desk, store, tmp_path):
        project, server = other
        told = bring(client=server, wanted=8)
        assert told["tasks"] == {"taken": 57, "of": 60, "by_image": 57} and not told["same_project"]
        assert told["images"]["taken"] == 57
        assert project.setting_choices() == desk.project.setting_choices()
        (generation,) = PatternCache.generations(project)
        mine, theirs = (PatternCache(one, generation, tmp_path / "x") for one in (project, desk.project))
        ids, sources = mine.columns()
        rows = mine.load(ids, sources)
        there = theirs.load(1000 - ids[::-1], sources[::-1])
        assert len(rows) == len(there) == 57 and (rows.embeddings == there.embeddings[::-1]).all()
        memory = load_campaign(project)
        was = desk.memory
        assert dict(memory.trained_on) == {1000 - t: v for t, v in was.trained_on.items() if t not in (5, 6, 7)}
        assert memory.predictions.ids.tolist() == sorted(memory.predictions.ids.tolist())
        task = int(memory.predictions.ids[0])
        assert (memory.predictions.lookup(task) == was.predictions.lookup(1000 - task)).all()
        assert memory.model.fingerprint == was.model.fingerprint
        orders = Orders(project)
        assert orders.live() is None and orders.last_number() == Orders(desk.project).last_number()
        for order in orders.all():
            assert all(place.task > 900 for place in order.places) and orders.inputs(order.number) == b""
        assert desk.live is not None, "the project that was backed up is as it was"

        desk.runtime.__dict__["client"] = server
        desk.project, desk.server = project, server
        while desk.tend() and project.get("reading"):
            pass
        desk.tend()
        live = orders.live()
        assert live.number > max(order.number for order in orders.all() if order.version != live.version)
        assert server.remote["model_version"] == live.version

    def test_of_other_images_it_is_refused(self, bring, other, store):
        _, server = other
        for row in server.rows.values():
            row["data"] = {"image": f"elsewhere/{row['id']}"}
        before = dump(store)
        with pytest.raises(BackupError, match="has none of the 60 images"):
            bring(client=server, wanted=8)
        after = dump(store)
        assert {key for key in after if key not in before} <= {b"lq:forgotten"}
        assert {key: after[key] for key in before} == before

    def test_orders_of_its_own_keep_their_numbers(self, bring, other, desk, store):
        project, server = other
        project.register()
        own = replace(desk.live, number=1, version="r1·abc Random")
        Orders(project).save(own)
        told = bring(client=server, wanted=8)
        assert told["orders"]["others"] == [1] and Orders(project).get(1).version == "r1·abc Random"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("at", ["read_tasks", "stage", "switch", "_keep_tasks"])
def test_what_fails_on_the_way_changes_nothing(desk, bring, project, store, monkeypatch, known, at):
    if known:
        project.put_settings({"seed": 9}, "REST")
    else:
        store.flushall()
    before = dump(store)
    failing = getattr(restoring, at)

    def fail(*arguments, **options):
        if at != "switch":
            failing(*arguments, **options)
        raise LabelStudioError("gone")

    monkeypatch.setattr(restoring, at, fail)
    with pytest.raises(LabelStudioError):
        bring()
    after = dump(store)
    after.pop(b"lq:forgotten", None)
    assert after == before
    monkeypatch.undo()
    assert bring()["images"]["of"] == 60


def test_a_project_that_is_not_there_is_an_error_with_the_way_out(bring, desk, monkeypatch):
    def denied(number):
        raise NotFoundError("404", status=404)

    monkeypatch.setattr(desk.server, "project", denied)
    with pytest.raises(BackupError, match=r"project 7 is not in Label Studio .*--project ID"):
        bring()


def test_it_waits_for_the_look_that_goes_on_and_says_so_when_that_never_ends(
    desk, project, saved, tmp_path, monkeypatch
):
    monkeypatch.setattr("labelqueue.backup.saving.PATIENCE", 0.3)
    with ProjectLock(project) as lock:
        assert lock.acquired
        with pytest.raises(BackupError, match="a worker has been tending project 7"):
            back_up(project, tmp_path / "two", tmp_path / "spool", show=False)
    assert not (tmp_path / "two").exists()


def test_looks_do_not_wait_while_embeddings_are_copied(desk, project, tmp_path, monkeypatch):
    free, real = [], PatternCache.block_bytes

    def watched(self, name, digest):
        with ProjectLock(project) as lock:
            free.append(lock.acquired)
        return real(self, name, digest)

    monkeypatch.setattr(PatternCache, "block_bytes", watched)
    back_up(project, tmp_path / "two", tmp_path / "spool", show=False)
    assert free and all(free)


def test_what_is_aside_goes_by_itself_when_the_restore_is_killed(bring, store, monkeypatch):
    ages, real = {}, restoring.switch

    def look(*arguments, **options):
        ages.update({key: store.ttl(key) for key in store.scan_iter("*:restoring:*")})
        real(*arguments, **options)

    monkeypatch.setattr(restoring, "switch", look)
    store.flushall()
    bring()
    assert len(ages) > 6 and all(0 < age <= 24 * 3600 for age in ages.values())
    kept = {key: store.ttl(key) for key in store.scan_iter("lq:*-7-*") if not key.endswith((b":lock", b":queued"))}
    assert len(kept) >= len(ages) and set(kept.values()) == {-1}


def test_a_worker_that_embeds_at_that_moment_is_waited_for(desk, bring, project, store, tmp_path, monkeypatch):
    """It has a number for its block already, and stores it a moment later."""
    (generation,) = PatternCache.generations(project)
    cache = PatternCache(project, generation, tmp_path / "spool")
    ids, sources = cache.columns()
    block = cache.load(ids[:5], sources[:5])
    late = replace(block, ids=block.ids + 70)
    store.hdel(project.name("cache", generation, "blocks"), "00000001")  # so that it is not left as it is
    store.hdel(project.name("cache", generation, "sums"), "00000001")
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 1:
            cache.put(late)

    monkeypatch.setattr("labelqueue.backup.staging.time.sleep", sleep)
    bring()
    assert len(slept) == 2, "what it stored changed the count: once more"
    assert len(cache.load(ids, sources)) == 60


def test_a_project_without_anything_and_one_of_the_version_before(store, project, tmp_path, deployment):
    with Reader(saved_of(project, tmp_path / "empty")) as reader:
        told = restore(store, Server(project, 0), ORIGIN, reader, tmp_path, confirm=None, show=False)
    assert told["images"]["of"] == told["tasks"]["of"] == told["orders"]["of"] == 0
    store.flushall()
    document = leave_what_0_1_0_left(store)
    old = Project.all(store)[0]
    server = its_server(document, store, deployment)
    live, state = Orders(old).live(), load_campaign(old)
    path = saved_of(old, tmp_path / "old")
    store.flushall()
    with Reader(path) as reader:
        told = restore(store, server, old.ref.origin, reader, tmp_path, confirm=None, show=False)
    assert told["images"]["taken"] == 60 and Orders(old).live() == live
    assert load_campaign(old).model.fingerprint == state.model.fingerprint


def saved_of(project, path):
    back_up(project, path, path.parent / "spool", show=False)
    return path


def test_blocks_that_are_written_anew_meanwhile_are_copied_again(desk, project, tmp_path, monkeypatch):
    (generation,) = PatternCache.generations(project)
    cache, real = PatternCache(project, generation, tmp_path / "spool"), PatternCache.block_bytes
    compacted = []

    def once(self, name, digest):
        if not compacted:
            compacted.append(name)
            self.retain(desk.runtime.cache(project, generation).columns()[0][:20])
            assert self.compact()
        return real(self, name, digest)

    monkeypatch.setattr(PatternCache, "block_bytes", once)
    assert back_up(project, tmp_path / "two", tmp_path / "spool", show=False)["images"] == 20
    assert len(cache.rows()) == 20


def test_damaged_embeddings_are_no_backup(desk, project, store, tmp_path):
    (generation,) = PatternCache.generations(project)
    store.hset(project.name("cache", generation, "blocks"), "00000001", b"junk")
    with pytest.raises(BackupError, match=r"block 00000001 .* is gone, or damaged"):
        back_up(project, tmp_path / "two", tmp_path / "spool", show=False)
    assert not (tmp_path / "two").exists()


def test_what_another_version_wrote_is_not_backed_up(project, tmp_path):
    project.set(formats=json.dumps({"orders": 99}))
    with pytest.raises(BackupError, match="the orders of project 7 have format 99, this version reads 2"):
        back_up(project, tmp_path / "two", tmp_path / "spool", show=False)


def test_what_a_killed_restore_left_goes_by_itself(desk, bring, project, store):
    store.set(project.name("restoring:dead:tasks"), "1")
    bring()
    assert not store.exists(project.name("restoring:dead:tasks"))
