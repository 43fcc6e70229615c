"""A queue from label to order, tended as the worker does it, against a Label Studio that answers at once."""

import time
from collections import Counter

import pytest

import redis_dump
from conftest import CONFIG
from desk import Desk
from labelqueue import admin
from labelqueue.admin.status import project_status
from labelqueue.exceptions import LabelStudioError, PublishError, SettingError
from labelqueue.ordering.campaign import Campaign
from labelqueue.publishing import tidying
from labelqueue.publishing.publishing import Publisher
from labelqueue.publishing.versions import tag_of
from labelqueue.state.campaigns import summary_of
from labelqueue.state.orders import Orders
from labelqueue.worker.runtime import Runtime


@pytest.fixture
def desk(project, deployment):
    project.put_settings({"switch_after": 20, "trials": 1, "horizon": 100}, "test")

    def build(n=400, **settings):
        project.put_settings(settings, "test")
        desk = Desk(Runtime(deployment), project, n)
        desk.tend()
        return desk

    return build


def chosen_controls(desk):
    """Return the tasks that the live order chose, that nobody labeled, and that count as controls all the same."""
    open_places = [place for place in desk.live.places if not desk.server.rows[place.task]["annotations"]]
    return [place.task for place in open_places if not place.control and place.task in desk.memory.controls]


def test_labels_lead_to_models_phases_and_orders(desk):
    desk = desk()
    assert desk.live.version == "r1·k7f FreeSel"
    desk.play(60)
    assert desk.memory.course.phase == "warm" and "BAL" in desk.live.version
    assert summary_of(desk.project)["learning"]["labels"] == 60


def test_a_small_project_gets_no_order_for_every_label(desk):
    desk = desk(n=80)
    desk.play(60, step=1)
    assert desk.memory.course.phase == "warm" and desk.live.number <= 7


class TestRetrain:
    """A training that was asked for happens once, whatever keeps its order from being published."""

    def test_then_a_rollback(self, desk):
        desk = desk()
        desk.play(40)
        trainings = desk.memory.trainings
        admin.retrain(desk.project)
        admin.rollback(desk.project, 1)
        for _ in range(3):
            desk.tend()
        assert desk.live.version == "r1·k7f FreeSel" and desk.memory.trainings == trainings + 1
        admin.resume(desk.project)
        desk.tend()
        assert "BAL" in desk.live.version and desk.live.why == "a new order was asked for"

    def test_while_label_studio_takes_no_order(self, desk):
        desk = desk()
        desk.play(40)
        trainings, before = desk.memory.trainings, desk.live.version
        admin.retrain(desk.project)
        desk.server.down = True
        for _ in range(3):
            with pytest.raises(LabelStudioError):
                desk.tend()
        assert desk.memory.trainings == trainings + 1 and desk.live.version == before
        desk.server.down = False
        desk.tend()
        assert desk.live.why == "a new order was asked for" and desk.memory.trainings == trainings + 1


def test_a_job_that_lost_its_lock_while_training_writes_nothing(desk, monkeypatch):
    desk = desk()
    desk.label(10)
    before, learn = desk.memory.dump(), Campaign.learn

    def stalls(*arguments, **options):
        desk.project.store.delete(desk.project.name("lock"))
        return learn(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(PublishError, match="lost its project's lock"):
        patch.setattr(Campaign, "learn", stalls)
        desk.tend()
    assert desk.memory.dump() == before
    desk.tend()
    assert desk.memory.trainings == 1


def test_a_model_that_cannot_be_read_is_trained_anew(desk):
    desk = desk()
    desk.play(40)
    model = desk.memory.model
    desk.project.store.hset(desk.project.name("campaign", "3"), "model", b"of another format")
    assert desk.memory.model is None
    desk.tend()
    assert (desk.memory.model.fingerprint, desk.memory.course.phase) == (model.fingerprint, "warm")


def test_a_training_can_be_asked_for_before_there_is_an_image(desk):
    desk = desk(n=0)
    admin.retrain(desk.project)
    assert desk.tend() == "no image is embedded yet" and desk.live is None


class TestControls:
    def test_a_task_that_a_restored_order_chose_is_none(self, desk):
        desk = desk(control_share=0.3)
        desk.play(40)
        admin.rollback(desk.project, 1)
        desk.tend()
        assert desk.live.number == 1 and desk.memory.controls and chosen_controls(desk) == []

    def test_those_of_a_refill_whose_job_was_killed_count(self, desk, monkeypatch):
        desk = desk(strategy="freesel", prelabel="off", control_share=0.3, horizon=10)

        refill = Publisher.refill

        def killed(*arguments):
            refill(*arguments)
            raise KeyboardInterrupt

        before = len(desk.live.places)
        desk.label(10)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Publisher, "refill", killed)
            desk.tend()
        controls = {place.task for place in desk.live.places[before:] if place.control}
        assert controls and not controls & desk.memory.controls.keys()
        desk.tend()
        assert controls <= desk.memory.controls.keys() and chosen_controls(desk) == []


class TestOtherQuestions:
    def test_guesses_about_one_control_say_nothing_of_another(self, desk):
        desk = desk(control_share=0.3)
        desk.play(60)
        assert summary_of(desk.project)["accuracy"]["overall"]["right"] > 5
        trainings = desk.memory.trainings
        desk.server.remote["label_config"] = CONFIG.replace('toName="image"', 'toName="image" choice="multiple"')
        desk.tend()
        memory = desk.memory
        assert summary_of(desk.project)["accuracy"]["overall"]["count"] == 0
        assert (memory.guesses, memory.course.phase, desk.live.strategy) == ((), "warm", "BAL")  # 60 labels answer it
        assert memory.model.multi and memory.trainings == trainings + 1 and memory.controls
        desk.play(60)
        assert desk.memory.course.phase == "warm"

    def test_classes_that_come_and_go(self, desk):
        desk = desk()
        desk.play(40)
        owl = CONFIG.replace('<Choice value="dog"/>', '<Choice value="dog"/><Choice value="owl"/>')
        desk.server.remote["label_config"] = owl
        desk.tend()
        assert desk.memory.course.reason == "the label config gained 'owl'" and desk.live.strategy == "FreeSel"
        desk.server.remote["label_config"] = CONFIG.replace('<Choice value="dog"/>', '<Choice value="hound"/>')
        desk.tend()
        assert desk.memory.model is None and set(desk.memory.trained_on.values()) == {"cat"}
        assert summary_of(desk.project)["learning"]["dropped_labels"]["dog"] > 5


def test_other_embeddings_replace_model_and_order_when_they_are_complete(desk):
    desk = desk()
    desk.play(40)
    old, model = desk.project.get("generation"), desk.memory.model
    desk.project.put_settings({"n_patterns": 2}, "test")
    desk.tend()
    assert desk.project.get("generation") == old and desk.memory.model.fingerprint == model.fingerprint
    desk.embed(width=12)
    desk.play(5)
    assert desk.project.get("generation") != old and desk.memory.model.dim == 12
    assert desk.live.generation == desk.project.get("generation")


def test_without_a_rotation_network_the_queue_goes_on_and_says_what_is_missing(desk):
    desk = desk(bal_features="rotation", strategy="bal", horizon=10)
    desk.play(15)
    assert desk.live.strategy == "BAL" and desk.live.parameters.get("features") is None
    assert "labelqueue pretext" in project_status(desk.project)["error"]
    admin.change_settings(desk.project, {"bal_features": "vit"}, "a test")
    desk.tend()
    assert project_status(desk.project)["error"] == ""


class TestLabelsThatTheConfigLost:
    BOXES = (
        '<View><Image name="image" value="$image"/><RectangleLabels name="choice" toName="image"><Label value="{}"/>'
        '<Label value="person"/></RectangleLabels></View>'
    )

    def box(self, desk, task, label):
        desk.server.label(task, label)
        value = {"x": 1, "y": 1, "width": 9, "height": 9, "rectanglelabels": [label]}
        desk.server.rows[task]["annotations"][0]["result"][0] = {
            "type": "rectanglelabels", "from_name": "choice", "to_name": "image", "value": value
        }  # fmt: skip

    def test_teach_nothing_until_they_are_mapped(self, desk):
        desk = desk(n_patterns=1)
        desk.server.remote["label_config"] = self.BOXES.format("car")
        desk.tend()
        for task in range(1, 31):
            self.box(desk, task, "car" if task % 2 else "person")
        desk.tend()
        before = summary_of(desk.project)["learning"]
        assert (before["labels"], before["labels_per_class"]) == (30, {"car": 15, "person": 15})

        desk.server.remote["label_config"] = self.BOXES.format("vehicle")
        desk.tend()
        told = summary_of(desk.project)["learning"]
        assert told["labels"] == 15 and told["dropped_labels"] == {"car": 15}
        assert told["without_label"] == {"a label that is not in the label config": 15}
        assert desk.memory.trained_on and set(desk.memory.trained_on.values()) == {("person",)}
        lines = "\n".join(admin.status_lines(project_status(desk.project)))
        assert "label 'car' of 15 tasks is not in the label config any more" in lines and "label_map" in lines

        admin.change_settings(desk.project, {"label_map": {"car": "vehicle"}}, "a test")
        desk.tend()
        told = summary_of(desk.project)["learning"]
        assert told["labels_per_class"] == {"vehicle": 15, "person": 15} and told["without_label"] == {}

    def test_a_map_must_lead_to_labels_that_there_are(self, desk):
        desk = desk()
        with pytest.raises(SettingError, match="'label_map' leads to 'whale'"):
            admin.change_settings(desk.project, {"label_map": {"car": "whale"}}, "a test")
        assert desk.project.settings()["label_map"] == {}


def test_captions_are_ordered_by_the_cold_start_for_ever(desk):
    desk = desk()
    desk.server.remote["label_config"] = (
        '<View><Image name="image" value="$image"/><TextArea name="choice" toName="image"/></View>'
    )
    desk.tend()
    for task in range(1, 61):
        desk.server.label(task, "whatever")
        desk.server.rows[task]["annotations"][0]["result"][0] |= {"type": "textarea", "value": {"text": ["a cat"]}}
    desk.tend()
    told = summary_of(desk.project)["learning"]
    assert desk.live.strategy == "FreeSel" and (told["labels"], told["trained_on"]) == (0, 0)
    assert "the cold start orders for ever" in told["waits_for"][0]
    assert desk.next().task > 60


def test_an_answer_that_cannot_be_read_costs_its_task_only(desk):
    desk = desk()
    desk.play(20)
    odd = desk.next().task
    desk.server.label(odd, "cat")
    desk.server.rows[odd]["annotations"][0]["result"] = [None, "x", {"from_name": "choice", "type": "choices"}]
    desk.play(20)
    told = summary_of(desk.project)["learning"]
    assert told["labels"] == 40 and told["without_label"] == {"an answer that cannot be read": 1}


class TestPredictionsThatAPersonDeleted:
    def test_are_noticed_at_the_next_count_and_published_anew(self, desk):
        desk = desk()
        assert desk.live.version == "r1·k7f FreeSel"
        del desk.server.imported[:]
        desk.tend()
        assert desk.live.version == "r1·k7f FreeSel", "counted a moment ago"
        desk.project.set(counted_at=str(time.time() - 60))
        desk.tend()
        assert desk.live.version == "r2·k7f FreeSel" and desk.server.remote["model_version"] == "r2·k7f FreeSel"
        assert desk.live.why == "300 of 300 predictions of 'r1·k7f FreeSel' are gone from Label Studio"

    def test_are_repaired_at_once_by_reconcile_even_if_only_some_are_gone(self, desk):
        desk = desk(strategy="freesel")
        desk.label(5)
        desk.server.imported[0].pop()
        admin.reconcile(desk.project)
        desk.tend()
        assert desk.live.version == "r2·k7f FreeSel" and "1 of 300 predictions" in desk.live.why

    def test_are_not_missed_when_their_tasks_were_deleted(self, desk):
        desk = desk(strategy="freesel")
        gone = [place.task for place in desk.live.places[:7]]
        for task in gone:
            del desk.server.rows[task]
        desk.server.imported[0][:] = [row for row in desk.server.imported[0] if row["task"] not in gone]
        admin.reconcile(desk.project)
        desk.tend()
        assert desk.live.version == "r1·k7f FreeSel"


class TestTraces:
    def test_a_quiet_look_deletes_some_predictions_of_old_orders(self, desk, monkeypatch):
        desk = desk(horizon=None, strategy="freesel")
        for seed in range(1, 5):
            desk.project.put_settings({"seed": seed}, "test")
            desk.tend()
        counts = desk.server.prediction_counts(7)
        assert list(counts.values()) == [60] * 5, "each order is what is needed"
        monkeypatch.setattr(tidying, "PACE", 0.0)
        assert desk.tend() == "the live order holds" and desk.server.prediction_counts(7) == counts, "a moment ago"
        monkeypatch.setattr(tidying, "QUIET", -1.0)
        for _ in range(20):
            assert desk.tend() == "the live order holds"
        kept = [order.version for order in Orders(desk.project).kept()]
        assert dict(desk.server.prediction_counts(7)) == dict.fromkeys(kept, 60) and len(kept) == 3
        assert desk.project.get("tidied") == desk.live.version == desk.server.remote["model_version"]
        admin.reconcile(desk.project)
        assert desk.tend() == "the live order holds", "our own deletions are no losses"

    def test_what_is_held_stays_held_when_the_end_of_the_record_is_lost(self, desk, caplog):
        """Label Studio has more predictions of the held order than are on record, as after a refill that was lost."""
        desk = desk(strategy="freesel")
        desk.project.put_settings({"seed": 1}, "test")
        desk.tend()
        admin.rollback(desk.project, 1)
        desk.tend()
        assert desk.live.number == 1 and desk.project.get("hold")
        desk.server.stored[desk.live.version] += 5
        desk.project.set(counted_at="0")
        desk.tend()
        assert desk.live.again == 1 and desk.project.get("hold") and desk.project.get("behind") == ""
        assert caplog.text.count("a new order follows") == 1
        version = desk.live.version
        for _ in range(3):
            assert desk.tend() == "the live order holds" and desk.live.version == version

    def test_a_rollback_to_one_that_is_gone_is_served_in_its_order(self, desk, monkeypatch):
        desk = desk(strategy="freesel", control_share=0.2)
        first = desk.live
        for seed in range(1, 4):
            desk.project.put_settings({"seed": seed}, "test")
            desk.tend()
        monkeypatch.setattr(tidying, "PACE", 0.0)
        monkeypatch.setattr(tidying, "QUIET", -1.0)
        while first.version in desk.server.prediction_counts(7):
            desk.tend()
        desk.label(5)
        desk.tend()
        left = [place for place in first.places if not desk.server.rows[place.task]["annotations"]]
        admin.rollback(desk.project, first.version)
        assert desk.tend() == "the live order holds"
        assert desk.live.version == "r5·k7f back to r1" and list(desk.live.places) == left
        controls = {place.task for place in left if place.control}
        assert controls <= {task for task, by in desk.memory.controls.items() if by == desk.live.version}
        desk.play(5)
        assert desk.live.again == 1, "it is held"
        admin.resume(desk.project)
        desk.tend()
        assert desk.live.version.startswith("r6·") and not desk.live.again

    def test_a_record_that_lost_its_end_goes_on_from_label_studio(self, desk, store):
        desk = desk(strategy="freesel", horizon=10)
        saved = redis_dump.dump(store)
        desk.play(10)  # a refill
        desk.project.put_settings({"seed": 5}, "test")
        desk.tend()
        before = desk.live
        store.flushall()
        redis_dump.load(store, saved)
        desk.play(10)
        assert desk.live.version.startswith("r3·") and tag_of(desk.live.version) != "k7f"
        assert desk.project.get("paused") == desk.project.get("hold") == "" and before.number == 2
        assert "not on record" in next(o.why for o in Orders(desk.project).all() if o.number == 3)
        desk.play(30)
        rows = Counter((row["task"], row["model_version"]) for rows in desk.server.imported for row in rows)
        assert max(rows.values()) == 1, "no task has two predictions of one version"

    def test_a_lost_refill_is_not_made_twice(self, desk, store):
        desk = desk(strategy="freesel", horizon=10)
        saved = redis_dump.dump(store)
        desk.play(10)
        store.flushall()
        redis_dump.load(store, saved)
        desk.play(30)
        assert Orders(desk.project).get(2).why == "the refill before it failed"
        rows = Counter((row["task"], row["model_version"]) for rows in desk.server.imported for row in rows)
        assert max(rows.values()) == 1
