"""Steering: what commands and people in Label Studio ask of the queue, against a Label Studio of the test's own."""

from collections import Counter

import pytest

from conftest import CONFIG
from labelqueue import admin
from labelqueue.exceptions import LabelStudioError
from labelqueue.labels.annotations import ANNOTATED, UNLABELED
from labelqueue.labels.label_config import parse_label_config
from labelqueue.ordering.order import Order, Place
from labelqueue.publishing.connecting import connected
from labelqueue.publishing.publishing import SAMPLING, Publisher
from labelqueue.publishing.steering import steer
from labelqueue.publishing.versions import number_of, tag_of
from labelqueue.state.orders import Orders
from labelqueue.state.project import LIVE_VERSION, NOT_CONNECTED
from labelqueue.state.task_row import TaskRow


class Remote:
    """The part of Label Studio that steering sees: one project, and the versions that have predictions."""

    def __init__(self) -> None:
        self.values = {"id": 7, "sampling": "Uniform sampling", "model_version": "labelqueue"}
        self.stored: Counter[str] = Counter()
        self.patches: list[dict] = []
        self.backends = [{"model_version": LIVE_VERSION, "url": "http://lq:9090", "title": "labelqueue"}]

    def project(self, project):
        return dict(self.values)

    def update_project(self, project, **values):
        if values.get("model_version", next(iter(self.stored))) not in self.stored:
            raise LabelStudioError("no predictions of this version", status=400)
        self.patches.append(values)
        self.values.update(values)

    def import_predictions(self, project, rows):
        self.stored.update(row["model_version"] for row in rows)
        return len(rows)

    def create_prediction(self, row):
        self.stored[row["model_version"]] += 1

    def prediction_counts(self, project):
        return dict(self.stored)

    def existing(self, project, tasks):
        return set(tasks)

    def save_tab(self, *arguments, skipped=None):
        return 1

    def ml_backends(self, project, *, skipped=None):
        return self.backends


def publisher(project, remote, seen):
    return Publisher(project, remote, lambda: None, seen, parse_label_config(CONFIG))


@pytest.fixture
def remote(project):
    """Label Studio after three orders of this project: r1, r2, r3·k7f FreeSel, the last one live."""
    found = Remote()
    project.set(backend_title="labelqueue")
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in (1, 2, 3)})
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
    assert queue(remote) == (SAMPLING, "r3·k7f FreeSel") and len(remote.patches) == 2
    admin.pause(project)
    assert tend() and remote.values["sampling"] == "Uniform sampling", "still what it was before us"


def test_choosing_our_sampling_in_label_studio_ends_a_pause(tend, project, remote):
    admin.pause(project)
    tend()
    assert tend(sampling=SAMPLING) == "" and project.get("pause_wanted") == ""
    assert tend() == "" and queue(remote) == (SAMPLING, "r3·k7f FreeSel")


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
    assert tend() == "" and queue(remote) == (SAMPLING, "r3·k7f FreeSel")


@pytest.mark.parametrize("version", ["", None, "labelqueue"])
def test_a_lost_version_is_restored(tend, remote, version):
    """Empty when pre-labeling is switched off, null when predictions are deleted, the title after connecting."""
    assert tend(model_version=version, show_collab_predictions=False) == ""
    assert queue(remote) == (SAMPLING, "r3·k7f FreeSel")


def test_a_lost_version_whose_predictions_are_gone_asks_for_a_new_order(tend, project, remote):
    del remote.stored["r3·k7f FreeSel"]
    assert tend(model_version=None) == "" and Orders(project).live() is None


def test_an_older_order_chosen_in_label_studio_is_held_until_the_newest_is_chosen(tend, project, remote):
    tend(model_version="r1·k7f FreeSel")
    assert project.get("hold") == "'r1·k7f FreeSel' was chosen in Label Studio" and Orders(project).live().number == 1
    tend(model_version="r3·k7f FreeSel")
    assert project.get("hold") == "" and Orders(project).live().number == 3


def test_a_rollback_restores_the_earlier_order_exactly_and_holds_it(tend, project, remote):
    earlier = Orders(project).get(2)
    assert "r2·k7f FreeSel" in admin.rollback(project)
    assert tend() == "" and queue(remote) == (SAMPLING, "r2·k7f FreeSel")
    assert Orders(project).live() == earlier and "rollback" in project.get("hold")
    tend()
    assert remote.patches == [{"model_version": "r2·k7f FreeSel", "sampling": SAMPLING}], "done once"
    admin.rollback(project)
    tend()
    assert queue(remote)[1] == "r1·k7f FreeSel"
    admin.rollback(project, 3)
    tend()
    assert queue(remote)[1] == "r3·k7f FreeSel" and project.get("hold") == "", "the newest needs no holding"


@pytest.mark.parametrize("release", [admin.resume, admin.retrain])
def test_a_held_order_gives_way_after_resume_or_retrain(tend, project, remote, release):
    admin.rollback(project, "r1")
    tend()
    release(project)
    assert tend() == "" and project.get("hold") == ""
    assert queue(remote) == (SAMPLING, "r1·k7f FreeSel"), "until the next order"


def test_a_rollback_ends_a_pause(tend, project, remote):
    admin.pause(project)
    tend()
    admin.rollback(project, "r1·k7f FreeSel")
    assert tend() == tend() == "" and queue(remote) == (SAMPLING, "r1·k7f FreeSel")


@pytest.mark.parametrize("left", [0, 2])
def test_a_rollback_without_all_predictions_publishes_the_order_again(tend, project, remote, left):
    first = Orders(project).get(1)
    remote.stored["r1·k7f FreeSel"] = left
    remote.stored += Counter()
    project.put_tasks({2: TaskRow("/2.jpg", ANNOTATED)})
    admin.rollback(project, 1)
    assert tend() == "" and queue(remote) == (SAMPLING, "r4·k7f back to r1")
    live = Orders(project).live()
    assert live.places == (first.places[0], first.places[2]) and (live.again, live.labeled) == (1, 1)
    assert project.get("hold") == "'r1·k7f FreeSel' was chosen by a rollback and is published again"
    assert remote.stored["r1·k7f FreeSel"] == left, "no second prediction of one version"
    tend()
    assert len(remote.patches) == 1, "done once"


def test_going_back_goes_on_from_an_order_that_was_published_again(tend, project, remote):
    del remote.stored["r2·k7f FreeSel"]
    admin.rollback(project)
    tend()
    assert queue(remote)[1] == "r4·k7f back to r2"
    admin.rollback(project)
    tend()
    assert queue(remote)[1] == "r1·k7f FreeSel"
    assert "it is the newest" in admin.rollback(project, 3)
    tend()
    assert queue(remote)[1] == "r3·k7f FreeSel" and project.get("hold") == ""


def test_a_rollback_to_an_order_that_is_labeled_through_says_so(tend, project, remote):
    del remote.stored["r1·k7f FreeSel"]
    project.put_tasks({task: TaskRow(f"/{task}.jpg", ANNOTATED) for task in (1, 2, 3)})
    admin.rollback(project, 1)
    assert tend() == ""
    assert project.get("rollback_error") == (
        "all tasks of 'r1·k7f FreeSel' are labeled or deleted; 'r3·k7f FreeSel' stays live"
    )
    assert queue(remote) == (SAMPLING, "r3·k7f FreeSel") and project.get("hold") == "" and remote.patches == []
    admin.pause(project)
    tend()
    admin.rollback(project, 1)
    assert "paused by an admin" in tend() and remote.values["sampling"] == "Uniform sampling"
    admin.rollback(project, 2)
    assert tend() == "" and project.get("rollback_error") == ""


def test_a_summary_that_was_asked_for_before_it_became_one_is_refused(tend, project, remote):
    admin.rollback(project, 1)
    Orders(project).save(Orders(project).get(1).summary())
    assert tend() == "" and "no longer on record; 'r3·k7f FreeSel' stays live" in project.get("rollback_error")


def test_a_person_who_chooses_a_summary_in_label_studio_is_told(tend, project, remote):
    Orders(project).save(Orders(project).get(1).summary())
    assert tend(model_version="r1·k7f FreeSel") == ""
    assert queue(remote) == (SAMPLING, "r3·k7f FreeSel") and project.get("hold") == ""
    assert "was chosen in Label Studio, and its tasks are no longer on record" in project.get("rollback_error")


def test_a_person_who_chooses_an_order_that_is_partly_deleted_gets_all_of_it(tend, project, remote):
    remote.stored["r1·k7f FreeSel"] = 1
    assert tend(model_version="r1·k7f FreeSel") == ""
    assert queue(remote) == (SAMPLING, "r4·k7f back to r1")
    assert project.get("hold") == "'r1·k7f FreeSel' was chosen in Label Studio and is published again"


@pytest.mark.parametrize("version", ["r1·k7f FreeSel", None])
def test_a_held_order_whose_predictions_are_deleted_is_published_again(tend, project, remote, version):
    tend(model_version="r1·k7f FreeSel")
    del remote.stored["r1·k7f FreeSel"]
    project.set(counted_at="")
    assert tend(model_version=version) == ""
    assert queue(remote) == (SAMPLING, "r4·k7f back to r1") and project.get("hold")


class TestVersionsThatAreNotOnRecord:
    """What is stored here lost its end, or all: that is nobody's doing in Label Studio."""

    @pytest.mark.parametrize("version", ["r5·k7f FreeSel", "r5·abc BAL cycle 2", "r5 BAL cycle 1", "r4·k7f back to r1"])
    def test_are_no_reason_to_pause(self, tend, project, remote, version):
        remote.stored[version] = 3
        assert tend(model_version=version) == "" == project.get("hold")
        one = publisher(project, remote, remote.project(7))
        assert one.lost() == f"{version!r} is live in Label Studio and not on record"
        assert (project.get("tag"), project.get("want_full")) == ("", "1"), "everything is read again"
        live = one.publish(Order(0, "FreeSel", places=Orders(project).get(3).places))
        assert live.number == max(4, 1 + number_of(version)) and tag_of(live.version) not in ("k7f", "abc", "")
        assert one.lost() == "" and queue(remote) == (SAMPLING, live.version)

    @pytest.mark.parametrize("version", ["r5 mine", "r5·k7f", "r5·K7F FreeSel", "R5 FreeSel", "r5", "r5·ab FreeSel"])
    def test_are_a_persons_in_any_other_form(self, tend, remote, version):
        remote.stored[version] = 3
        assert f"changed to {version!r}" in tend(model_version=version)

    def test_twice_of_tags_that_were_never_ours_are_another_labelqueues(self, tend, project, remote):
        remote.stored.update({"r5·abc FreeSel": 3, "r7·abd FreeSel": 3})
        assert tend(model_version="r5·abc FreeSel") == ""
        publisher(project, remote, remote.project(7)).publish(Order(0, "FreeSel", places=(Place(1, "why"),)))
        told = tend(model_version="r7·abd FreeSel")
        assert "another labelqueue publishes to this project" in told and "`labelqueue resume 7`" in told
        assert tend() == told, "until somebody decides"
        admin.resume(project)
        assert tend() == "" and queue(remote)[1] == Orders(project).live().version

    def test_of_one_tag_stay_a_loss_until_the_new_order_is_there(self, tend, project, remote):
        remote.stored["r5·abc FreeSel"] = 3
        for _ in range(3):  # Label Studio takes no order, say
            assert tend(model_version="r5·abc FreeSel") == ""
        assert "not on record" in project.get("behind")

    def test_again_and_again_of_our_own_tags_are_losses(self, tend, project, remote):
        for number in (5, 7, 9):
            remote.stored[f"r{number}·k7f FreeSel"] = 3
            assert tend(model_version=f"r{number}·k7f FreeSel") == ""


def test_an_outage_fulfils_the_wish_later(tend, project, remote, monkeypatch):
    def down(project, **values):
        raise LabelStudioError("no answer", timed_out=True)

    admin.rollback(project)
    with monkeypatch.context() as patch:
        patch.setattr(remote, "update_project", down)
        with pytest.raises(LabelStudioError):
            tend()
    assert tend() == "" and queue(remote) == (SAMPLING, "r2·k7f FreeSel")


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
