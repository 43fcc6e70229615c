"""A preview of settings: what it shows is what then goes live, it says why nothing changes, and it writes nothing."""

from dataclasses import replace

import pytest

from desk import Desk
from labelqueue import admin
from labelqueue.exceptions import ProjectError, ReplacedError, SettingError
from labelqueue.ordering.decision import decide
from labelqueue.ordering.order_size import open_places
from labelqueue.ordering.snapshot import Tasks
from labelqueue.pagework import preview as drafting
from labelqueue.pagework.preview import NEXT, preview
from labelqueue.state.columns import read_columns
from labelqueue.state.orders import Orders
from labelqueue.telemetry import COUNTERS
from labelqueue.worker.runtime import Runtime
from redis_dump import dump

OF_ORDERS = ("ordering_seconds", "training_seconds", "orders_total")


@pytest.fixture
def desk(project, deployment):
    """A project of 120 images with a live order."""
    found = Desk(Runtime(deployment), project, 120)
    found.tend()
    return found


def previewed(desk, **changes):
    """The preview, and that asking for it wrote nothing."""
    before, counted = dump(desk.project.store), COUNTERS.take()
    told = preview(desk.runtime, desk.project, changes, "")
    assert dump(desk.project.store) == before and not {one.metric for one in COUNTERS.take()} & {*OF_ORDERS}
    COUNTERS.give_back(counted)
    return told


def applied(desk, **changes):
    """The next places once the settings are applied."""
    admin.change_settings(desk.project, changes, "REST")
    desk.tend()
    places = open_places(desk.live, columns(desk))[:NEXT]
    return [(place.task, place.reason, place.control) for place in places]


def columns(desk):
    found = read_columns(desk.project)
    return Tasks(found.ids, found.states, found.ids * 0)


@pytest.mark.parametrize(
    ("labels", "changes"),
    [
        (0, {"strategy": "random"}),
        (0, {"cold_start": "kcenter", "seed": 4}),
        (0, {"metric": "cosine", "trials": 1}),
        (40, {"uncertainty": "entropy"}),
        (40, {"warm": "margin", "control_share": 0.3}),
        (40, {"strategy": "bal_paper", "budget": 100}),
    ],
)
def test_what_is_shown_is_what_goes_live(desk, labels, changes):
    desk.play(labels)
    told = previewed(desk, **changes)
    assert told["new"] and told["why"] == "settings changed" and len(told["next"]) == NEXT
    version = desk.live.version
    after = applied(desk, **changes)
    assert desk.live.version != version and desk.live.version.endswith(told["title"])
    assert after == [(row["task"], row["reason"], row["control"]) for row in told["next"]]


def test_it_is_drafted_again_where_a_look_learned_something_meanwhile(desk, monkeypatch):
    asked = []

    def late(snapshot):
        asked.append(snapshot)
        if len(asked) < fail:
            raise ReplacedError("there is another model")
        return decide(snapshot)

    monkeypatch.setattr(drafting, "decide", late)
    fail = 3
    assert previewed(desk, strategy="random")["new"] and len(asked) == 3
    fail = 100
    with pytest.raises(ReplacedError):
        previewed(desk, strategy="random")
    assert len(asked) == 3 + drafting.TRIES


def test_settings_that_change_no_order_say_so(desk):
    told = previewed(desk, retrain_every=50)
    assert not told["new"] and told["why"] == "the live order holds" and told["title"] == ""
    assert [row["task"] for row in told["next"]] == [place.task for place in desk.live.places[:NEXT]]


def test_back_to_the_default(desk):
    first = applied(desk, strategy="random")
    told = previewed(desk, strategy=None)
    assert told["title"] == "FreeSel"
    assert (
        applied(desk, strategy=None) == [(row["task"], row["reason"], row["control"]) for row in told["next"]] != first
    )


def test_what_is_not_allowed_is_an_error(desk):
    with pytest.raises(SettingError, match="'uncertainty'"):
        preview(desk.runtime, desk.project, {"uncertainty": "x"}, "")
    with pytest.raises(SettingError, match="divides a budget"):
        preview(desk.runtime, desk.project, {"strategy": "bal_paper"}, "")


def test_from_a_part_of_the_labels_nothing_is_drafted(desk):
    desk.project.drop("labels:*")
    with pytest.raises(ProjectError, match="not all tasks and labels have been read"):
        preview(desk.runtime, desk.project, {"seed": 5}, "")


def test_what_stands_in_the_way_is_noted(desk):
    desk.project.set(hold="r1 was chosen", paused="by an admin")
    notes = " ".join(previewed(desk, n_patterns=3, balance="site")["notes"])
    for told in ("Another n_patterns means other embeddings", "'site' have not been read", "is held", "paused (by an"):
        assert told in notes
    assert previewed(desk, attention_ratio=0.3)["notes"][0].startswith("'r")


def test_how_sure_the_model_is_of_a_prelabel(desk):
    assert admin.prelabel_chances(desk.project, [1]) == {}, "there is no model"
    desk.play(40)
    applied(desk, prelabel="on")
    filled = [place.task for place in desk.live.places if place.prelabel is not None]
    chances = admin.prelabel_chances(desk.project, [*filled, 10**6])
    assert filled and chances.keys() == {*filled} and all(0.5 <= chance <= 1 for chance in chances.values())
    Orders(desk.project).save(replace(desk.live, model="another"))
    assert admin.prelabel_chances(desk.project, filled) == {}, "the model has learned since"


def test_a_preview_follows_pins_and_exclusions(desk):
    last, first = desk.live.places[-1].task, desk.live.places[0].task
    admin.pin(desk.project, [last])
    admin.exclude(desk.project, [first], "blurred")
    told = previewed(desk, metric="euclidean")
    assert told["next"][0]["task"] == last and told["next"][0]["pinned"]
    assert [row["task"] for row in told["next"]] == [task for task, _, _ in applied(desk, metric="euclidean")]
    waits = previewed(desk, retrain_every=50)
    assert not waits["new"] and waits["next"][0]["task"] == last
