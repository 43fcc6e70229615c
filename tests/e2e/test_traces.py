"""What orders leave behind in a real Label Studio, and what becomes of a queue whose record lost its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from redis import Redis, RedisError

from e2e.conftest import ACCOUNT
from e2e.test_queue import CONFIG, ordered, published, wait_for
from labelqueue.labels.label_config import parse_label_config
from labelqueue.labelstudio.client import LabelStudio
from labelqueue.ordering.order import Order, Place
from labelqueue.publishing.publishing import SAMPLING, Publisher
from labelqueue.publishing.steering import steer
from labelqueue.publishing.tidying import STEP, tidy
from labelqueue.publishing.versions import number_of, tag_of
from labelqueue.state.orders import Orders
from labelqueue.state.people import People
from labelqueue.state.project import Project, ProjectRef
from labelqueue.state.task_row import TaskRow
from labelqueue.store.redis_server import find_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TASKS = 6
PERSONS = ("r12 mine", "resnet", "R1 FreeSel", "r1 FreeSel 2")  # version strings that are nobody's of ours


class Tended:
    """A project of a real Label Studio, published to and steered by hand instead of by a worker."""

    def __init__(self, api, store, url, token):
        self.api, self.number = api, api.create_project("traces", CONFIG)
        api.import_tasks(self.number, [{"image": f"/{n}.jpg"} for n in range(TASKS)])
        self.tasks = api.task_ids(self.number)
        self.client = LabelStudio(url, token)
        self.project = Project(store, ProjectRef.from_api(url, api.project(self.number)))
        self.project.register(label_config=CONFIG, title="traces")
        self.project.put_tasks({task: TaskRow(f"/{task}.jpg", "u") for task in self.tasks})
        self.orders = Orders(self.project)

    def publisher(self):
        remote = self.client.project(self.number)
        return Publisher(self.project, self.client, lambda: None, remote, parse_label_config(CONFIG))

    def publish(self, tasks=None, title="FreeSel"):
        places = tuple(Place(task, "why", prelabel="disc") for task in tasks or self.tasks)
        return self.publisher().publish(Order(0, title, title, places=places))

    def predict(self, version, task):
        self.client.create_prediction({"task": task, "result": [], "score": 0.5, "model_version": version})

    def counts(self):
        return {version: count for version, count in self.client.prediction_counts(self.number).items() if count}

    def steer(self, **changed):
        if changed:
            self.api.update_project(self.number, **changed)
        steer(self.project, self.publisher(), self.client.project(self.number))
        return self.orders.live()

    def tidy(self):
        """Tidy until nothing is left to do; return the deletions of each step."""
        steps = []
        while not steps or steps[-1]:
            steps.append(tidy(self.project, self.client, lambda: None, now=time.time() + 3600))
        return steps[:-1]

    @property
    def served(self):
        remote = self.api.project(self.number)
        return remote["model_version"], remote["sampling"]


@pytest.fixture
def tended(api, store, label_studio):
    found = Tended(api, store, label_studio.url, ACCOUNT.token)
    yield found
    found.client._session.close()


def test_only_the_live_order_and_the_two_before_it_stay(tended):
    for version in ("r1 FreeSel", "r9 BAL cycle 3"):  # of 0.1.0, whose record is lost
        tended.predict(version, tended.tasks[0])
    for version in PERSONS:
        tended.predict(version, tended.tasks[0])
    orders = [tended.publish() for _ in range(5)]
    assert [order.number for order in orders] == [10, 11, 12, 13, 14], "above what Label Studio had"
    start = time.monotonic()
    steps = tended.tidy()
    print(f"{sum(steps)} predictions in {time.monotonic() - start:.1f} s")
    assert sum(steps) == 2 + 2 * TASKS and max(steps) <= STEP
    kept = {order.version: TASKS for order in orders[2:]}
    assert tended.counts() == kept | dict.fromkeys(PERSONS, 1)
    assert tended.served == (orders[-1].version, SAMPLING) and tended.publisher().lost() == ""
    tended.project.set(counted_at="")
    assert tended.publisher().lost() == ""


def test_a_rollback_is_exact_whether_its_predictions_are_there_or_not(tended):
    first = tended.publish(list(reversed(tended.tasks)))
    whole = [tended.publish() for _ in range(3)][-2]
    tended.tidy()
    assert first.version not in tended.counts()
    tended.project.set(rollback_wanted=str(first.number))
    again = tended.steer()
    assert again.version == f"r5·{again.version[3:6]} back to r1" and again.again == 1
    assert [(p.task, p.prelabel) for p in again.places] == [(p.task, p.prelabel) for p in first.places]
    assert tended.served == (again.version, SAMPLING) and tended.project.get("hold")
    assert tended.api.sign_up(f"back{time.time()}@test.local").next(tended.number)["id"] == tended.tasks[-1]
    tended.project.set(rollback_wanted=str(whole.number))
    assert tended.steer() == whole and tended.served == (whole.version, SAMPLING)
    assert tended.counts()[whole.version] == TASKS


def test_a_person_may_choose_an_order_that_is_partly_deleted(tended):
    first = tended.publish(list(reversed(tended.tasks)))
    for _ in range(3):
        tended.publish()
    for prediction in tended.client.predictions_of(tended.number, first.version, 2):
        tended.client.delete_prediction(prediction)
    again = tended.steer(model_version=first.version)
    assert again.again == first.number and tended.served == (again.version, SAMPLING)
    assert [place.task for place in again.places] == list(reversed(tended.tasks))
    assert "chosen in Label Studio" in tended.project.get("hold") and not tended.project.get("paused")


def test_a_held_order_whose_predictions_are_deleted_is_published_again(tended):
    first = tended.publish(list(reversed(tended.tasks)))
    tended.publish()
    assert tended.steer(model_version=first.version) == first
    for prediction in tended.client.predictions_of(tended.number, first.version, 2):
        tended.client.delete_prediction(prediction)
    tended.project.set(counted_at="")
    assert tended.steer().again == first.number and tended.project.get("hold")


def test_a_form_that_is_open_can_be_submitted_whatever_was_tidied(tended):
    """Label Studio refuses an answer that was begun from a prediction that is gone."""
    user = tended.api.sign_up(f"form{time.time()}@test.local")
    orders = [tended.publish()]
    People(tended.project).note([1])  # an answer, and the next form opens
    form = user.next(tended.number)
    begun = {"lead_time": 1, "parent_prediction": form["predictions"][0]["id"], "result": []}
    orders += [tended.publish() for _ in range(4)]
    while tidy(tended.project, tended.client, lambda: None, now=time.time() + 3600):
        pass
    kept = {order.version for order in orders[2:]}
    assert kept | {orders[0].version} <= set(tended.counts())
    assert user.call("POST", f"/api/tasks/{form['id']}/annotations", json=begun)["id"]
    People(tended.project).note([1])
    tended.tidy()
    assert set(tended.counts()) == kept


def test_the_tab_shows_task_image_count_and_score(tended):
    tended.publish()
    columns = tended.api.call("GET", f"/api/dm/columns?project={tended.number}")["columns"]
    (tab,) = [
        tab
        for tab in tended.api.call("GET", f"/api/dm/views/?project={tended.number}")
        if tab["data"]["title"].startswith("Order")
    ]
    for mode in ("explore", "labeling"):
        hidden = set(tab["data"]["hiddenColumns"][mode])
        leaves = {c["id"] for c in columns if not c.get("children") and f"{c['target']}:{c['id']}" not in hidden}
        assert leaves == {"id", "total_annotations", "predictions_score", "image"}


# -- a record that lost its end


def predictions(api, project):
    """Count the predictions of every task and version."""
    found = api.call("GET", f"/api/predictions/?project={project}")
    rows = found if isinstance(found, list) else found["results"]
    return Counter((row["task"], row["model_version"]) for row in rows)


def label(api, user, project, count):
    for _ in range(count):
        user.annotate(user.next(project)["id"], "disc")


class AppendOnly:
    """The embedded Redis, whose append-only file is cut back to what it was."""

    def __init__(self, serve):
        self._serve = serve
        self.home = Path(tempfile.mkdtemp(prefix="lq-"))

    def backend(self, **options):
        return self._serve(home=self.home, **options)

    @property
    def _file(self):
        return max((self.home / "redis" / "appendonlydir").glob("*.incr.aof"))

    def remember(self):
        time.sleep(1.5)  # it is written each second
        self._size = self._file.stat().st_size

    def lose(self):
        assert self._file.stat().st_size > self._size
        os.truncate(self._file, self._size)

    def stop(self):
        shutil.rmtree(self.home, ignore_errors=True)


class SnapshotOnly:
    """A Redis of somebody's own that keeps snapshots only, killed after the last one."""

    def __init__(self, serve):
        self._serve = serve
        self.home = Path(tempfile.mkdtemp(prefix="lq-"))
        self._start()

    def _start(self):
        socket = self.home / "own.sock"
        options = f"--port 0 --unixsocket {socket} --dir {self.home} --maxmemory-policy noeviction --appendonly no"
        program = find_server(self.home).program
        self._process = subprocess.Popen([program, *options.split(), "--save", ""], stdout=subprocess.DEVNULL)
        self._store = Redis(unix_socket_path=str(socket))
        deadline = time.monotonic() + 30
        while True:
            try:
                self._store.ping()
                return
            except RedisError:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def backend(self, **options):
        return self._serve(home=self.home, REDIS_URL=f"unix://{self.home}/own.sock", **options)

    def remember(self):
        self._store.save()

    def lose(self):
        self._process.kill()
        self._process.wait()
        self._start()

    def stop(self):
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.mark.parametrize(("storage", "loses"), [(AppendOnly, "a refill"), (SnapshotOnly, "an order")])
def test_a_record_that_lost_its_end_is_nobodys_doing(api, serve, drawn, request, storage, loses):
    """Label Studio has a refill, or an order too, that is not on record any more: it goes on from there by itself."""
    forgetful = storage(serve)
    request.addfinalizer(forgetful.stop)
    user = api.sign_up(f"tail{time.time()}@test.local")
    with forgetful.backend() as first:
        port = first.port
        project = api.create_project("lost tail", CONFIG)
        api.import_images(project, drawn(80))
        api.connect(project, first.url, extra_params={"horizon": 10})
        one = wait_for(first, project, ordered(80))
        forgetful.remember()
        label(api, user, project, 12)
        wait_for(first, project, lambda now: now["labeled"] == 12 and now["published"] > 22, what="a refill")
        if loses == "an order":
            first.command("set", str(project), "seed=2")
            wait_for(first, project, lambda now: now["version"] != one["version"], what="another order")
            label(api, user, project, 2)
        before = api.project(project)["model_version"]
    forgetful.lose()
    with forgetful.backend(port=port) as second:
        label(api, user, project, 4)
        now = wait_for(second, project, lambda now: now["version"] not in (one["version"], before, None))
        assert not now["paused"] and not now["hold"] and not now["error"] and not now["rollback_error"]
        assert number_of(now["version"]) > number_of(before) and tag_of(now["version"]) != tag_of(before)
        label(api, user, project, 25)  # refills
        total = 12 + 4 + 25 + 2 * (loses == "an order")
        now = wait_for(second, project, lambda now: now["labeled"] == total and now["published"] >= 22, what="labels")
        assert api.project(project)["model_version"] == now["version"] and not now["paused"]
        assert max(predictions(api, project).values()) == 1, "no task has two predictions of one version"
        assert user.next(project)["id"] == published(second, project)[0]
        api.disconnect(project)
