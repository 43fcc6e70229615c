"""Situations and what is said of them: where a project stands, what comes next and when, what is wrong."""

from __future__ import annotations

import pytest

from labelqueue.console.projects import short_accuracy
from labelqueue.console.sentences import (
    accuracy_told,
    duration,
    forecast_told,
    many,
    minutes,
    next_told,
    stage,
    standing,
    warnings,
)
from labelqueue.ordering.decision import NOTHING_TO_LEARN
from labelqueue.state.project import NOT_CONNECTED

NOW = 1_795_824_000.0
LEARNING = {
    "phase": "warm",
    "reason": "20 labels and a model",
    "waits_for": [],
    "labels": 60,
    "model": "f00",
    "retrain_every": 10,
    "unlearned": 3,
    "labels_per_class": {"cat": 40, "dog": 20},
    "dropped_labels": {},
    "without_label": {},
}
COLD = LEARNING | {
    "phase": "cold",
    "labels": 13,
    "model": "",
    "waits_for": ["13 labels of 20", "no model yet"],
    "unlearned": 0,
}
TAUGHT_NOTHING = COLD | {"waits_for": [NOTHING_TO_LEARN], "labels": 0, "labels_per_class": {}}
ACCURACY = {
    "overall": {"right": 34, "count": 40, "accuracy": 0.85, "interval": [0.709, 0.929]},
    "wanted": 10,
    "labels_wanted": 120,
    "stalled": False,
}
WELL = {
    "project": 7,
    "title": "animals",
    "version": "r3·k7f BAL",
    "tasks": 300,
    "labeled": 60,
    "skipped": 2,
    "embedded": 300,
    "pending": 0,
    "quarantined": 0,
    "embedder": {"building": "", "without_vector": 0},
    "reading": None,
    "read": True,
    "paused": "",
    "hold": "",
    "error": "",
    "settings_error": "",
    "rollback_error": "",
    "set_aside": "",
    "remade": "",
    "webhook": "",
    "balance_field": "",
    "balance_read": "",
    "unreadable": {"count": 0, "first": []},
    "refused_prelabels": {"count": 0, "first": []},
    "learning": LEARNING,
    "accuracy": ACCURACY,
    "annotators": 3,
    "pace": 35,
    "last_labeled": NOW - 60,
    "open": 80,
    "retrain_wanted": False,
    "control_share": 0.05,
}
INSTALLED = {"workers": 2, "workers_by_kind": {"tending": 1, "embedding": 1}, "redis": [], "slow_servers": {}}
NEW = {
    "version": None,
    "learning": None,
    "accuracy": None,
    "labeled": 0,
    "skipped": 0,
    "open": 0,
    "annotators": 0,
    "pace": 0,
    "last_labeled": 0.0,
}
EMPTY = NEW | {"tasks": 0, "embedded": 0}
ALL_DONE = {"labeled": 290, "skipped": 10, "open": 0}
READING = {"reading": {"seen": 120_000, "of": 600_000}, "read": False}

# What differs from a project that is well -> the word for it, a part of what is said, a part of what comes next.
SITUATIONS = {
    "well": (
        {},
        "warm",
        "The warm phase has begun (20 labels and a model)",
        "trains again after 7 more labels, in about 12 minutes at",
    ),
    "the rest": (
        {},
        "warm",
        "3 people labeled within the last hour, at 35 images an hour",
        "the last 238 images are labeled in about 7 hours",
    ),
    "nobody at work": (
        {"annotators": 0, "pace": 0},
        "warm",
        "Nobody labeled within",
        "trains again after 7 more labels.",
    ),
    "labeled by nobody known": ({"annotators": 0}, "warm", "images were labeled at 35 an hour.", "at the present pace"),
    "one left": ({"labeled": 297, "open": 1}, "warm", "", "the last 1 image is labeled in about 2 minutes."),
    "people stopped": ({"last_labeled": NOW - 3000}, "warm", "3 people labeled", "trains again after 7 more labels."),
    "due": ({"learning": LEARNING | {"unlearned": 10}}, "warm", "", "trains again with the next look"),
    "wanted": ({"retrain_wanted": True}, "warm", "", "A training was asked for"),
    "fewer left than a training takes": (
        {"labeled": 297, "skipped": 0},
        "warm",
        "80 published images are still",
        "the last 3 images are labeled",
    ),
    "cold": (
        {"learning": COLD},
        "cold start",
        "This is the cold start",
        "the cold start waits: 13 labels of 20; no model yet",
    ),
    "first label": (
        {"learning": COLD | {"labels": 1}, "open": 1},
        "cold start",
        "1 published image is still",
        "trains after",
    ),
    "all labeled": (ALL_DONE, "all labeled", "nothing is left to put in order", "Images that you import later"),
    "held": ({"hold": "'r1' was chosen"}, "warm", "no new one takes its place: 'r1' was chosen", ""),
    "paused": (
        {"paused": "paused by an admin at noon"},
        "paused",
        "The queue is paused by an admin",
        "until somebody resumes",
    ),
    "sampling": ({"paused": "sampling was set to X"}, "paused", "The queue is paused: sampling was", "until somebody"),
    "not connected": ({"paused": NOT_CONNECTED}, "not connected", "does not ask this backend", "connected again"),
    "set aside": ({"set_aside": "deleted, kept until Friday"}, "set aside", "kept until Friday", ""),
    "reading first": (NEW | READING, "reading", "120,000 of 600,000 tasks", "once everything is read"),
    "reading again": (READING | {"read": True}, "warm", "120,000 of 600,000 tasks", "trains again"),
    "no tasks": (EMPTY, "no images", "import images in Label Studio", ""),
    "embedding": (
        NEW | {"pending": 260, "embedded": 40},
        "embedding",
        "40 images are embedded, 260 images wait; the first",
        "",
    ),
    "one waits": ({"pending": 1}, "warm", "300 images are embedded, 1 image waits.", ""),
    "about to": (NEW | {"embedded": 0}, "begins", "about to be embedded", ""),
    "first order": (NEW, "begins", "The first order is being made", ""),
    "another model": ({"embedder": {"building": "dinov2"}}, "warm", "once more with dinov2", ""),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_situations(name):
    change, word, said, following = SITUATIONS[name]
    facts = WELL | change
    assert stage(facts).word == word
    assert said in " ".join(standing(facts))
    coming = " ".join(next_told(facts, NOW))
    assert following in coming
    for sentence in (*standing(facts), *next_told(facts, NOW)):
        assert not sentence[0].islower() and sentence.endswith(".") and "None" not in sentence, sentence


def test_nothing_is_promised_that_is_not_known():
    paused = next_told(WELL | {"paused": "paused by an admin"}, NOW)
    assert len(paused) == 1, "no training, no end"
    assert not any("present pace" in one for one in next_told(WELL | {"last_labeled": 0.0}, NOW))
    assert not any("trains" in one for one in next_told(WELL | ALL_DONE, NOW))


# What differs -> how bad it is, a part of what is said and of the way out.
WRONG = {
    "set aside": ({"set_aside": "kept until Friday"}, "failed", "was deleted", "kept until Friday"),
    "not connected": ({"paused": NOT_CONNECTED}, "failed", "not connected", "Settings > Model"),
    "paused": ({"paused": "paused by an admin"}, "warning", "paused by an admin", "Resume"),
    "error": ({"error": "it broke"}, "failed", "It broke.", "Health"),
    "extra params": ({"settings_error": "seed is 'x'"}, "warning", "Seed is 'x'.", "still hold"),
    "rollback": ({"rollback_error": "it is gone"}, "warning", "It is gone.", "another order"),
    "balance": ({"balance_field": "site"}, "warning", "'site'", "complete reading"),
    "bad images": ({"quarantined": 2}, "warning", "2 images cannot be used.", "Health"),
    "a bad image": ({"quarantined": 1}, "warning", "1 image cannot be used.", "Health"),
    "records": ({"unreadable": {"count": 1, "first": ["task 3: no id"]}}, "warning", "1 record", "task 3: no id"),
    "pre-labels": ({"refused_prelabels": {"count": 4, "first": ["why"]}}, "warning", "4 tasks go", "why"),
    "renamed": ({"learning": LEARNING | {"dropped_labels": {"cow": 3}}}, "warning", "'cow' of 3 tasks", "label_map"),
    "no label": (
        {"learning": LEARNING | {"without_label": {"people disagree": 1}}},
        "warning",
        "people disagree",
        "teach",
    ),
    "imported": (
        {"embedder": {"building": "", "without_vector": 5}},
        "warning",
        "5 tasks have no",
        "embeddings import 7",
    ),
    "webhook": ({"webhook": "was off"}, "warning", "The webhook: Was off.", "Nothing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_comes_with_the_way_out(name):
    change, tone, told, way_out = WRONG[name]
    (found,) = warnings(WELL | change, INSTALLED)
    assert found.tone == tone and told in found.told and way_out in found.way_out


INSTALLATION = {
    "no tending": ({"workers_by_kind": {"tending": 0, "embedding": 2}}, "failed", "Labels wait", "worker tending"),
    "no embedding": ({"workers_by_kind": {"tending": 2, "embedding": 0}}, "failed", "Images wait", "worker embedding"),
    "redis": (
        {"redis": [{"check": "memory", "state": "wrong", "told": "it is full", "way_out": "give it more"}]},
        "failed",
        "Redis, memory: It is full.",
        "Give it more.",
    ),
    "slow": ({"slow_servers": {"img.test": {"until": NOW, "why": "timed out"}}}, "warning", "img.test", "later"),
}


@pytest.mark.parametrize("name", INSTALLATION)
def test_what_is_wrong_with_the_installation(name):
    change, tone, told, way_out = INSTALLATION[name]
    (found,) = warnings(WELL | {"pending": 3}, INSTALLED | change)
    assert found.tone == tone and told in found.told and way_out in found.way_out


def test_a_label_config_that_teaches_nothing_is_told():
    facts = WELL | {"learning": TAUGHT_NOTHING}
    (warned,) = warnings(facts, INSTALLED)
    assert "no control to learn from" in warned.told
    assert next_told(facts, NOW) == [
        "The cold start orders all images: the label config has no control from which a model could learn."
    ]


def test_what_is_well_warns_of_nothing_and_what_failed_comes_first():
    assert warnings(WELL, INSTALLED) == []
    assert warnings(WELL, INSTALLED | {"workers": 1, "workers_by_kind": {"tending": 0, "embedding": 0}}) == []
    old = WELL | {"quarantined": 1, "error": "it broke"}
    assert [one.tone for one in warnings(old, INSTALLED)] == ["failed", "warning"]


FEW = {"right": 9, "count": 12, "accuracy": 0.75, "interval": None}
NONE = {"right": 0, "count": 0, "accuracy": None, "interval": None}


@pytest.mark.parametrize(
    ("change", "said", "short"),
    [
        ({}, "right on 34 of 40 images drawn at random: 85%", "85% (71% to 93%)"),
        ({}, "between 71% and 93% of the time", "85% (71% to 93%)"),
        ({}, "An interval of ±10 points takes about 120 more labels.", "85% (71% to 93%)"),
        (
            {"labeled": 250},
            "more labels than the 48 images that are left, or a larger control_share.",
            "85% (71% to 93%)",
        ),
        ({"accuracy": ACCURACY | {"stalled": True}}, "It has stopped improving", "85% (71% to 93%)"),
        ({"accuracy": ACCURACY | {"overall": FEW}}, "too few to say how sure that is", "9 of 12 right"),
        ({"accuracy": ACCURACY | {"overall": NONE}}, "no random check has a label", ""),
        ({"accuracy": ACCURACY | {"overall": NONE}}, "5% of the queue are drawn at random", ""),
        ({"accuracy": ACCURACY | {"overall": NONE}}, "An interval of ±10 points takes about 120 more labels.", ""),
        (
            {"accuracy": ACCURACY | {"overall": NONE}, "labeled": 250},
            "more labels than the 48 images that are left",
            "",
        ),
        ({"accuracy": ACCURACY | {"overall": NONE}, "learning": TAUGHT_NOTHING}, "no model, and none to come", ""),
        ({"accuracy": ACCURACY | {"overall": NONE}, "control_share": 0}, "control_share above 0", ""),
        ({"accuracy": None, "learning": None}, "There is no model yet", ""),
    ],
)
def test_the_accuracy_says_what_it_means_or_what_it_takes(change, said, short):
    facts = WELL | change
    assert said in " ".join(accuracy_told(facts)) and short_accuracy(facts) == short


def test_the_forecast_begins_with_the_labels_that_a_goal_takes():
    assert "first look" in next(forecast_told(None))
    assert "it takes 40 labels" in next(forecast_told({"forecast": None, "waits_for": "it takes 40 labels"}))
    line = {"line": "right on all images: now 70% to 80%; at 120 labels 75% to 85%; 90% needs about 300 (200 to 500)"}
    told = list(
        forecast_told(
            {
                "forecast": {"accuracy": line, "balanced_accuracy": line},
                "hints": [{"name": "no change", "met": True}, {"name": "stable predictions", "met": False}],
            }
        )
    )
    assert told[0] == "90% needs about 300 (200 to 500)." and told[1].startswith(
        "Right on all images: now 70% to 80%; at"
    )
    assert told[-1] == "1 of 2 signs say that more labels change little: no change."


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "about a minute"), (720, "about 12 minutes"), (5400, "about 2 hours"), (3600 * 47, "about 2 days"),
     (86_400 * 400, "more than a year"), (86_400, "about 24 hours")],
)  # fmt: skip
def test_durations(seconds, told):
    assert duration(seconds) == told


def test_numbers():
    assert (many(1, "label"), many(1200, "label"), many(2, "person", "people")) == (
        "1 label",
        "1,200 labels",
        "2 people",
    )
    assert (minutes(24.4), minutes(150)) == ("24 s", "2.5 min")
