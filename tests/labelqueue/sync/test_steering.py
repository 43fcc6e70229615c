"""Steering: what commands and people in Label Studio ask of the queue, against a Label Studio of the test's own."""

import pytest

from conftest import CONFIG
from labelqueue import admin
from labelqueue.exceptions import LabelStudioError
from labelqueue.labels.label_config import parse_label_config
from labelqueue.ordering.order import Order, Place
from labelqueue.state.orders import Orders
from labelqueue.state.project import LIVE_VERSION, NOT_CONNECTED
from labelqueue.sync.connecting import connected
from labelqueue.sync.publishing import SAMPLING, Publisher
from labelqueue.sync.steering import steer


class Remote:
    """The part of Label Studio that steering sees: one project, and the versions that have predictions."""

    def __init__(self) -> None:
        self.values = {"id": 7, "sampling": "Uniform sampling", "model_version": "labelqueue"}
        self.versions: set[str] = set()
        self.patches: list[dict] = []
        self.backends = [{"model_version": LIVE_VERSION, "url": "http://lq:9090", "title": "labelqueue"}]

    def project(self, project):
        return dict(self.values)

    def update_project(self, project, **values):
        if values.get("model_version", next(iter(self.versions))) not in self.versions:
            raise LabelStudioError("no predictions of this version", status=400)
        self.patches.append(values)
        self.values.update(values)

    def import_predictions(self, project, rows):
        self.versions.update(row["model_version"] for row in rows)
        return len(rows)

    def create_prediction(self, row):
        self.versions.add(row["model_version"])

    def model_versions(self, project):
        return sorted(self.versions)

    def save_tab(self, *arguments, skipped=None):
        return 1

    def ml_backends(self, project, *, skipped=None):
        return self.backends


def publisher(project, remote, seen):
    return Publisher(project, remote, lambda: None, seen, parse_label_config(CONFIG))


@pytest.fixture
def remote(project):
    """Label Studio after three orders of this project: r1, r2, r3 FreeSel, the last one live."""
    found = Remote()
    project.set(backend_title="labelqueue")
    for places in ((1, 2, 3), (3, 2, 1), (2, 1, 3)):
        order = Order(
            number=0, version="FreeSel", strategy="FreeSel", parameters={"seed": 0}, generation="g", arrivals=3,
            labeled=0, embedded=3, created_at=0.0, places=tuple(Place(task, "why") for task in places),
        )  # fmt: skip
        publisher(project, found, found.project(7)).publish(order)
    found.patches.clear()
    return found


@pytest.fixture
def tend(project, remote):
    """Let a worker compare Label Studio with what is wanted, as each job does; return why the project stands still."""

    def once(**changed):
        remote.values.update(changed)
        seen = remote.project(7)
        if connected(project, remote, seen, lambda: None):
            steer(project, publisher(project, remote, seen), seen)
        return project.get("paused")

    return once


def queue(remote):
    return remote.values["sampling"], remote.values["model_version"]


def test_a_pause_gives_the_queue_back_once_and_lasts_until_resume(tend, project, remote):
    admin.pause(project)
    assert "`labelqueue resume 7` goes on" in tend()
    assert remote.values["sampling"] == "Uniform sampling", "what it was before us"
    assert tend() == tend(sampling="Sequential sampling") != "", "whatever people choose meanwhile is theirs"
    assert remote.patches == [{"sampling": "Uniform sampling"}]
    admin.resume(project)
    assert tend() == tend() == ""
    assert queue(remote) == (SAMPLING, "r3 FreeSel") and len(remote.patches) == 2
    admin.pause(project)
    assert tend() and remote.values["sampling"] == "Uniform sampling", "still what it was before us"


def test_choosing_our_sampling_in_label_studio_ends_a_pause(tend, project, remote):
    admin.pause(project)
    tend()
    assert tend(sampling=SAMPLING) == "" and project.get("pause_wanted") == ""
    assert tend() == "" and queue(remote) == (SAMPLING, "r3 FreeSel")


def test_a_pause_before_the_first_order_stops_it_and_touches_nothing(tend, project, remote):
    project.set(live="")
    remote.values["sampling"] = SAMPLING  # the project's own choice
    admin.pause(project)
    assert tend() and tend() and remote.patches == []
    admin.resume(project)
    assert tend() == "" and remote.patches == []


@pytest.mark.parametrize(("field", "value"), [("sampling", "Sequential sampling"), ("model_version", "somebody else")])
def test_a_change_by_hand_pauses_until_put_back_or_resumed(tend, project, remote, field, value):
    before = remote.values[field]
    assert value in tend(**{field: value}) and remote.patches == []
    assert tend(**{field: before}) == ""
    assert value in tend(**{field: value})
    admin.resume(project)
    assert tend() == "" and queue(remote) == (SAMPLING, "r3 FreeSel")


@pytest.mark.parametrize("version", ["", None, "labelqueue"])
def test_a_lost_version_is_restored(tend, remote, version):
    """Empty when pre-labeling is switched off, null when predictions are deleted, the title after connecting."""
    assert tend(model_version=version, show_collab_predictions=False) == ""
    assert queue(remote) == (SAMPLING, "r3 FreeSel")


def test_a_lost_version_whose_predictions_are_gone_asks_for_a_new_order(tend, project, remote):
    remote.versions.discard("r3 FreeSel")
    assert tend(model_version=None) == "" and Orders(project).live() is None


def test_an_older_order_chosen_in_label_studio_is_held_until_the_newest_is_chosen(tend, project, remote):
    tend(model_version="r1 FreeSel")
    assert project.get("hold") == "'r1 FreeSel' was chosen in Label Studio" and Orders(project).live().number == 1
    tend(model_version="r3 FreeSel")
    assert project.get("hold") == "" and Orders(project).live().number == 3


def test_a_rollback_restores_the_earlier_order_exactly_and_holds_it(tend, project, remote):
    earlier = Orders(project).get(2)
    assert "r2 FreeSel" in admin.rollback(project)
    assert tend() == "" and queue(remote) == (SAMPLING, "r2 FreeSel")
    assert Orders(project).live() == earlier and "rollback" in project.get("hold")
    tend()
    assert remote.patches == [{"model_version": "r2 FreeSel", "sampling": SAMPLING}], "done once"
    admin.rollback(project)
    tend()
    assert queue(remote)[1] == "r1 FreeSel"
    admin.rollback(project, 3)
    tend()
    assert queue(remote)[1] == "r3 FreeSel" and project.get("hold") == "", "the newest needs no holding"


@pytest.mark.parametrize("release", [admin.resume, admin.retrain])
def test_a_held_order_gives_way_after_resume_or_retrain(tend, project, remote, release):
    admin.rollback(project, "r1")
    tend()
    release(project)
    assert tend() == "" and project.get("hold") == ""
    assert queue(remote) == (SAMPLING, "r1 FreeSel"), "until the next order"


def test_a_rollback_ends_a_pause(tend, project, remote):
    admin.pause(project)
    tend()
    admin.rollback(project, "r1 FreeSel")
    assert tend() == tend() == "" and queue(remote) == (SAMPLING, "r1 FreeSel")


def test_a_rollback_without_predictions_says_so_and_changes_nothing(tend, project, remote):
    remote.versions.discard("r1 FreeSel")
    admin.rollback(project, 1)
    assert tend() == ""
    assert project.get("rollback_error") == (
        "the predictions of 'r1 FreeSel' were deleted in Label Studio; 'r3 FreeSel' stays live"
    )
    assert queue(remote) == (SAMPLING, "r3 FreeSel") and project.get("hold") == "" and remote.patches == []
    admin.pause(project)
    tend()
    admin.rollback(project, 1)
    assert "paused by an admin" in tend() and remote.values["sampling"] == "Uniform sampling"
    admin.rollback(project, 2)
    assert tend() == "" and project.get("rollback_error") == ""


def test_an_outage_fulfils_the_wish_later(tend, project, remote, monkeypatch):
    def down(project, **values):
        raise LabelStudioError("no answer", timed_out=True)

    admin.rollback(project)
    with monkeypatch.context() as patch:
        patch.setattr(remote, "update_project", down)
        with pytest.raises(LabelStudioError):
            tend()
    assert tend() == "" and queue(remote) == (SAMPLING, "r2 FreeSel")


def test_a_wish_that_comes_while_another_is_fulfilled_is_not_lost(tend, project, remote, monkeypatch):
    def slow(project_id, **values):
        Remote.update_project(remote, project_id, **values)
        monkeypatch.undo()
        admin.pause(project)

    admin.rollback(project)
    monkeypatch.setattr(remote, "update_project", slow)
    tend()
    assert "paused by an admin" in tend() and remote.values["sampling"] == "Uniform sampling"


def test_removing_the_backend_gives_the_queue_back_and_ends_every_wish(tend, project, remote):
    admin.rollback(project)
    remote.backends = []
    assert tend() == NOT_CONNECTED and remote.values["sampling"] == "Uniform sampling"
    remote.backends = [{"model_version": LIVE_VERSION, "url": "http://lq:9090"}]
    assert tend() == "" and remote.values["sampling"] == "Uniform sampling"
    assert Orders(project).live() is None
