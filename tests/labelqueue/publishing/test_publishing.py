"""Publishing: all or nothing, never over a person's choice, and never without the lock."""

import time
from collections import Counter
from dataclasses import replace

import pytest

from conftest import CONFIG
from desk import Desk
from labelqueue import admin
from labelqueue.exceptions import LabelStudioError, PublishError
from labelqueue.labels.annotations import UNLABELED
from labelqueue.labels.label_config import parse_label_config
from labelqueue.labelstudio.client import LabelStudio
from labelqueue.labelstudio.records import Hooks
from labelqueue.ordering.order import Order, Place, score
from labelqueue.ordering.pinning import arranged
from labelqueue.publishing import tidying
from labelqueue.publishing.connecting import connected, secure_webhook
from labelqueue.publishing.publishing import PLAIN_SAMPLING, SAMPLING, Publisher
from labelqueue.publishing.tidying import tidy
from labelqueue.publishing.versions import tag_of
from labelqueue.state.orders import Orders
from labelqueue.state.project import LIVE_VERSION
from labelqueue.state.task_row import TaskRow
from labelqueue.store.lock import ProjectLock
from labelqueue.worker.runtime import Runtime

READS = {"about", "projects", "webhooks", "people",
    "get_file", "whoami", "project", "prediction_counts", "ml_backends", "tasks", "existing",
    "annotated", "predicted", "newest_change", "hostname", "guarded", "predictions_of", "predictions_at",
}  # fmt: skip
WRITES = {
    "update_project",
    "import_predictions",
    "create_prediction",
    "delete_prediction",
    "move_prediction",
    "secure_webhooks",
    "save_tab",
    "update_backend",
}


class Remote:
    """A Label Studio with one project, and the log of everything that it and the project's lock were asked."""

    def __init__(self, tasks):
        self.values = {"id": 7, "sampling": PLAIN_SAMPLING, "model_version": "labelqueue"}
        self.tasks, self.log, self.predictions = set(tasks), [], []
        self.versions = []
        self.lost, self.stores, self.tab_fails = 0, None, False
        self.meanwhile = lambda: None  # what people do while predictions are imported
        self.held, self.backends = True, []

    def check(self):
        self.log.append("check")
        if not self.held:
            raise PublishError("this job lost its project's lock")

    def project(self, project):
        self.log.append("project")
        return dict(self.values)

    def prediction_counts(self, project):
        self.log.append("prediction_counts")
        return Counter(self.versions) + Counter(row["model_version"] for row in self.predictions if row)

    def predicted(self, project, version):
        self.log.append("predicted")
        return {row["task"] for row in self.predictions if row["model_version"] == version}

    def predictions_of(self, project, version, limit):
        self.log.append("predictions_of")
        rows = enumerate(self.predictions)
        return [number for number, row in rows if row.get("model_version") == version][:limit]

    def predictions_at(self, project, version, tasks):
        self.log.append("predictions_at")
        rows = enumerate(self.predictions)
        mine = [(number, row) for number, row in rows if row.get("model_version") == version]
        return [(row["task"], number, row["score"]) for number, row in mine if row["task"] in tasks]

    def move_prediction(self, number, score):
        self.log.append("move_prediction")
        self.predictions[number]["score"] = score

    def delete_prediction(self, number):
        self.log.append("delete_prediction")
        self.predictions[number] = {}

    def existing(self, project, tasks):
        self.log.append("existing")
        return self.tasks & set(tasks)

    def import_predictions(self, project, rows):
        self.log.append("import_predictions")
        if unknown := {row["task"] for row in rows} - self.tasks:
            raise LabelStudioError(f"{unknown} do not exist", status=400)
        stored = list(rows)[: len(rows) - self.lost] if self.stores is None else list(rows)[: self.stores]
        self.predictions += stored
        self.meanwhile()
        return len(stored)

    def create_prediction(self, row):
        self.log.append("create_prediction")
        self.predictions.append(row)

    def update_project(self, project, **values):
        self.log.append("update_project")
        self.values |= values

    def save_tab(self, project, title, data, *, skipped=None):
        self.log.append("save_tab")
        if self.tab_fails:
            raise LabelStudioError("no", status=500)
        self.tab = title, data
        return 1

    def ml_backends(self, project, *, skipped=None):
        self.log.append("ml_backends")
        return self.backends

    def update_backend(self, backend, **values):
        self.log.append("update_backend")

    def secure_webhooks(self, *arguments, skipped=None):
        self.log.append("secure_webhooks")
        return Hooks(1, 0)


def unchecked(log):
    """Return the writing calls of a log that no check of the lock came right before."""
    return [call for before, call in zip(["", *log], log, strict=False) if call in WRITES and before != "check"]


@pytest.fixture
def remote(project):
    project.set(single_seconds="0.1", bulk_seconds="0.01")  # so that every import is one in bulk
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in range(1, 31)})
    return Remote(range(1, 31))


@pytest.fixture
def publisher(project, remote):
    def build():
        return Publisher(project, remote, remote.check, dict(remote.values), parse_label_config(CONFIG))

    return build


def order(*tasks, **options):
    return Order(0, "FreeSel", "FreeSel", places=tuple(Place(task, "why") for task in tasks), **options)


def test_an_order_is_published_with_its_scores_and_switched_to(project, remote, publisher):
    live = publisher().publish(order(3, 1, 2))
    assert (live.number, live.version) == (1, "r1·k7f FreeSel") and Orders(project).live() == live
    assert [(row["task"], row["score"], row["model_version"]) for row in remote.predictions] == [
        (task, score(rank), "r1·k7f FreeSel") for rank, task in enumerate((3, 1, 2))
    ]
    assert (remote.values["sampling"], remote.values["model_version"]) == (SAMPLING, "r1·k7f FreeSel")
    assert project.get("sampling_before") == PLAIN_SAMPLING


def test_pre_labels_are_written_as_label_studio_stores_answers(remote, publisher):
    publisher().publish(Order(0, "BAL", "BAL", places=(Place(1, "why", prelabel="cat"), Place(2, "why"))))
    content = {"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": ["cat"]}}
    assert [row["result"] for row in remote.predictions] == [[content], []]


def test_predictions_that_label_studio_did_not_store_are_noticed(project, remote, publisher):
    remote.lost = 1
    with pytest.raises(PublishError, match="did not store all predictions of 'FreeSel' in 3 attempts"):
        publisher().publish(order(1, 2, 3))
    assert Orders(project).live() is None and "update_project" not in remote.log
    versions = {row["model_version"] for row in remote.predictions}
    assert versions == {"r1·k7f FreeSel", "r2·k7f FreeSel", "r3·k7f FreeSel"}, "no version twice"


def test_a_second_attempt_has_a_version_of_its_own(project, remote, publisher):
    remote.stores = 2
    remote.meanwhile = lambda: setattr(remote, "stores", None)
    live = publisher().publish(order(1, 2, 3))
    assert live.version == remote.values["model_version"] == "r2·k7f FreeSel"
    assert [row["task"] for row in remote.predictions if row["model_version"] == "r2·k7f FreeSel"] == [1, 2, 3]


def test_tasks_that_were_deleted_meanwhile_are_left_out(remote, publisher):
    remote.tasks -= {2, 4}
    live = publisher().publish(order(1, 2, 3, 4, 5))
    assert [place.task for place in live.places] == [1, 3, 5]
    assert [row["score"] for row in remote.predictions] == [score(rank) for rank in range(3)]
    remote.tasks.clear()
    with pytest.raises(PublishError, match="every task of the new order was deleted"):
        publisher().publish(order(1, 2))


def test_an_outage_is_no_deletion(remote, publisher, monkeypatch):
    def down(*arguments):
        raise LabelStudioError("the database is locked", status=500)

    monkeypatch.setattr(remote, "import_predictions", down)
    with pytest.raises(LabelStudioError, match="locked"):
        publisher().publish(order(1, 2))
    assert "existing" not in remote.log


@pytest.mark.parametrize("change", [{"sampling": "Uniform sampling"}, {"model_version": "another model"}])
def test_what_a_person_changed_while_an_order_was_made_stands(project, remote, publisher, change):
    first = publisher().publish(order(1, 2, 3))
    remote.meanwhile = lambda: remote.values.update(change)
    log = len(remote.log)
    with pytest.raises(PublishError, match="somebody changed the project's sampling or model version"):
        publisher().publish(order(3, 2, 1))
    assert Orders(project).live() == first and "update_project" not in remote.log[log:]
    assert change.items() <= remote.values.items()


def test_before_the_first_order_there_is_nothing_to_respect(remote, publisher):
    remote.meanwhile = lambda: remote.values.update(model_version="set on connecting")
    assert publisher().publish(order(1)).version == remote.values["model_version"]


def test_one_publisher_knows_its_own_changes(remote, publisher):
    one = publisher()
    one.publish(order(1, 2))
    one.give_back()
    assert remote.values["sampling"] == PLAIN_SAMPLING
    assert one.publish(order(2, 1)).version == remote.values["model_version"] == "r2·k7f FreeSel"


class TestVersions:
    """After a loss of our state none is used twice: two predictions of one version on one task upset the order."""

    def test_numbers_go_on_above_every_one_that_the_project_has(self, project, remote, publisher):
        remote.versions = ["r7·k7f FreeSel", "r12 BAL cycle 1", "r9", "mine", "r99x", "r2026 resnet"]
        one, two = publisher().publish(order(1)), publisher().publish(order(1))
        assert (one.number, two.number) == (13, 14) and tag_of(one.version) == tag_of(two.version) != "k7f"
        assert project.get("tags").split() == ["k7f", tag_of(one.version)]

    @pytest.mark.parametrize("lost", [{"tag": ""}, {"order_number": "1"}, {"order_number": "", "tag": "", "tags": ""}])
    def test_what_is_missing_or_older_than_label_studios_renews_the_tag(self, project, remote, publisher, lost):
        for _ in range(2):
            publisher().publish(order(1, 2))
        remote.versions = ["r1·k7f FreeSel", "r2·k7f FreeSel"]
        project.set(**lost)
        live = publisher().publish(order(1, 2))
        assert live.number == 3 and tag_of(live.version) != "k7f"

    def test_without_a_loss_the_tag_stays(self, remote, publisher):
        for number in (1, 2, 3):
            assert publisher().publish(order(1)).version == f"r{number}·k7f FreeSel"
            remote.versions.append(f"r{number}·k7f FreeSel")


class TestWhatIsNotOnRecord:
    """The end of what is stored here was lost: Label Studio has more than we know of."""

    def test_an_order_is_noticed_when_predictions_are_counted(self, project, remote, publisher):
        publisher().publish(order(1, 2))
        remote.predictions += [{"task": 1, "model_version": "r2·k7f FreeSel"}]
        assert publisher().lost() == "", "counted a moment ago"
        project.set(counted_at="")
        assert publisher().lost() == "Label Studio has orders up to r2, and only those up to r1 are on record"
        assert project.get("tag") == "" and project.get("want_full") == "1"

    def test_a_refill_is_noticed_when_predictions_are_counted(self, project, remote, publisher):
        publisher().publish(order(1, 2))
        remote.predictions += [{"task": 3, "model_version": "r1·k7f FreeSel"}]
        project.set(counted_at="")
        assert "3 predictions of 'r1·k7f FreeSel', and only 2 are on record" in publisher().lost()
        assert publisher().publish(order(1, 2, 3)).number == 2 and publisher().lost() == ""

    def test_a_refill_is_not_repeated(self, project, remote, publisher):
        live = publisher().publish(order(1, 2))
        remote.predictions += [{"task": 3, "model_version": "r1·k7f FreeSel"}]
        before, more = list(remote.predictions), (Place(3, "why"), Place(4, "why"))
        with pytest.raises(PublishError, match="only 2 are on record"):
            publisher().refill(replace(live, places=(*live.places, *more)), more)
        assert remote.predictions == before and Orders(project).live() == live

    def test_predictions_of_tasks_that_nobody_refills_stop_no_refill(self, project, remote, publisher):
        live = publisher().publish(order(1, 2))
        remote.predictions += [{"task": 9, "model_version": "r1·k7f FreeSel"}]
        more = (Place(3, "why"),)
        longer = publisher().refill(replace(live, places=(*live.places, *more)), more)
        assert [place.task for place in longer.places] == [1, 2, 3] and Orders(project).live() == longer
        assert remote.predictions[-1]["task"] == 3 and project.get("behind") == ""


def test_a_tab_that_cannot_be_saved_stops_nothing(project, remote, publisher):
    remote.tab_fails = True
    assert Orders(project).live() is None
    live = publisher().publish(order(1))
    assert Orders(project).live() == live


def test_a_new_order_ends_a_hold_and_a_half_refill(project, publisher):
    project.set(hold="'r1' was chosen", refilling="r1·k7f FreeSel")
    publisher().publish(order(1))
    assert project.get("hold") == project.get("refilling") == ""


class TestRefill:
    def test_places_are_appended_under_the_same_version(self, project, remote, publisher):
        live = publisher().publish(order(1, 2, 3))
        more = (Place(4, "why"), Place(5, "why"))
        longer = replace(live, places=(*live.places, *more))
        log = len(remote.log)
        publisher().refill(longer, more)
        assert Orders(project).live() == longer and project.get("refilling") == ""
        assert [(row["task"], row["score"], row["model_version"]) for row in remote.predictions[3:]] == [
            (4, score(3), "r1·k7f FreeSel"),
            (5, score(4), "r1·k7f FreeSel"),
        ]
        assert "update_project" not in remote.log[log:]

    @pytest.mark.parametrize("what", ["a part", "a deleted task", "a kill"])
    def test_half_a_refill_is_remembered(self, project, remote, publisher, what, monkeypatch):
        live = publisher().publish(order(1, 2, 3))
        more = (Place(4, "why"), Place(5, "why"))
        longer = replace(live, places=(*live.places, *more))

        def kill(*arguments):
            raise KeyboardInterrupt

        if what == "a part":
            remote.lost = 1
        elif what == "a deleted task":
            remote.tasks.discard(5)
        else:
            monkeypatch.setattr(remote, "import_predictions", kill)
        with pytest.raises(KeyboardInterrupt if what == "a kill" else PublishError):
            publisher().refill(longer, more)
        assert project.get("refilling") == "r1·k7f FreeSel" and Orders(project).live() == live


class TestCosts:
    """Single predictions cost the same in any project, an import grows with the project: the cheaper way is taken."""

    @pytest.mark.parametrize(
        ("single", "bulk", "call"), [("0.1", "1", "create_prediction"), ("0.1", "0.2", "import_predictions")]
    )
    def test_the_cheaper_way_is_taken_and_measured(self, project, remote, publisher, single, bulk, call):
        project.set(single_seconds=single, bulk_seconds=bulk)
        publisher().publish(order(1, 2, 3))
        assert {"create_prediction", "import_predictions"} & set(remote.log) == {call}
        assert len(remote.predictions) == 3
        measured = "single_seconds" if call == "create_prediction" else "bulk_seconds"
        assert 0 <= float(project.get(measured)) != float(single if measured == "single_seconds" else bulk)


# -- the lock


def test_every_call_of_the_client_is_known_to_read_or_to_write():
    """A new one has to be sorted in here, so that those that write are watched below."""
    calls = {name for name, value in vars(LabelStudio).items() if callable(value) and not name.startswith("_")}
    assert calls == READS | WRITES


def test_the_lock_is_looked_at_right_before_every_write(project, remote, publisher, monkeypatch):
    project.set(backend_url="http://localhost:9090")
    secure_webhook(project, remote, remote.check)
    live = publisher().publish(order(1, 2, 3))
    publisher().refill(replace(live, places=(*live.places, Place(4, "why"))), [Place(4, "why")])
    project.set(single_seconds="0.001", bulk_seconds="10")
    live = Orders(project).live()
    publisher().rearrange(live, arranged(live, [Place(3, "pinned")], {1: "left out"}))
    for _ in range(3):
        publisher().publish(order(1, 2, 3))
    monkeypatch.setattr(tidying, "PACE", 0.0)
    publisher().switch(live)
    publisher().give_back()
    publisher().switch(live)
    while tidy(project, remote, remote.check, now=time.time() + 3600):
        pass
    remote.backends = [{"id": 3, "model_version": LIVE_VERSION, "url": "http://lq:9090", "description": ""}]
    assert connected(project, remote, remote.project(7), remote.check, public_url="http://localhost:9090")
    remote.backends = []
    assert not connected(project, remote, remote.project(7), remote.check)
    assert unchecked(remote.log) == []
    assert set(remote.log) >= WRITES, "each of them happened"


def test_a_whole_look_writes_nothing_without_a_look_at_the_lock(project, deployment, monkeypatch):
    desk, log = Desk(Runtime(deployment), project, 60), []
    for name in READS | WRITES:
        if call := getattr(desk.server, name, None):
            monkeypatch.setattr(
                desk.server, name, lambda *a, _call=call, _name=name, **o: (log.append(_name), _call(*a, **o))[1]
            )
    check = ProjectLock.check
    monkeypatch.setattr(ProjectLock, "check", lambda lock: (log.append("check"), check(lock))[1])
    project.put_settings({"horizon": 10, "trials": 1, "strategy": "freesel", "prelabel": "off"}, "test")
    desk.tend()
    desk.play(15)  # refills
    admin.pause(project)
    desk.tend()
    admin.resume(project)
    desk.tend()
    monkeypatch.setattr(desk.server, "ml_backends", lambda project, **options: [])
    desk.tend()
    assert unchecked(log) == [] and log.count("update_project") >= 4


@pytest.mark.parametrize("call", ["publish", "switch", "give_back", "refill"])
def test_a_job_without_its_lock_writes_nothing(project, remote, publisher, call):
    live = publisher().publish(order(1, 2, 3))
    remote.held, one, before = False, publisher(), (dict(remote.values), list(remote.predictions))
    arguments = {"publish": (order(3, 2),), "switch": (live,), "give_back": (), "refill": (live, live.places[2:])}
    with pytest.raises(PublishError, match="lost its project's lock"):
        getattr(one, call)(*arguments[call])
    assert (remote.values, remote.predictions) == before
    assert project.get("refilling") == ""


def test_a_lock_that_is_lost_during_the_import_stops_the_switch(project, remote, publisher):
    first = publisher().publish(order(1, 2, 3))
    remote.meanwhile = lambda: setattr(remote, "held", False)
    with pytest.raises(PublishError, match="lost its project's lock"):
        publisher().publish(order(3, 2, 1))
    assert remote.values["model_version"] == first.version and Orders(project).live() == first
