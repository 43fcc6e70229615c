"""When an order is due: what makes a new one, what a refill."""

from dataclasses import replace

import pytest

from labelqueue.labels.annotations import ANNOTATED, SKIPPED, UNLABELED
from labelqueue.ordering.due import due
from labelqueue.ordering.order import Order, Place
from labelqueue.ordering.recipe import Recipe
from labelqueue.ordering.snapshot import Tasks
from poolselect import FreeSel, Random


def recipe(strategy=None, **changes) -> Recipe:
    base = Recipe("freesel", "FreeSel", strategy or FreeSel(trials=1), "cold", "", None, 0.05, "vit")
    return replace(base, **changes)


def order(tasks=(3, 1, 2), **changes) -> Order:
    places = tuple(Place(task, "why") for task in tasks)
    base = Order(1, "r1 FreeSel", "FreeSel", recipe().parameters, "gen", 3, 0, 3, 1.0, places)
    return replace(base, **changes)


CALM = {
    "embedded": 3,
    "arrivals": 3,
    "arriving": False,
    "recipe": recipe(),
    "generation": "gen",
    "low": 22,
    "hold": False,
}


THREE = dict.fromkeys((1, 2, 3), UNLABELED)


@pytest.mark.parametrize(
    ("change", "action"),
    [
        ({}, "none"),
        ({"embedded": 0}, "none"),
        ({"arrivals": 4}, "new"),
        ({"arrivals": 4, "hold": True}, "none"),
        ({"arrivals": 4, "arriving": True}, "none"),
        ({"arrivals": 6, "embedded": 6, "arriving": True}, "new"),
        ({"recipe": recipe(Random())}, "new"),
        ({"recipe": recipe(FreeSel(trials=2))}, "new"),
        ({"recipe": recipe(control_share=0.1)}, "new"),
        ({"recipe": recipe(control_share_start=0.1)}, "new"),
        ({"recipe": recipe(prelabel=0.5)}, "new"),
        ({"recipe": recipe(model="another")}, "new"),
        ({"recipe": recipe(Random()), "hold": True}, "none"),
        ({"learned": "trained on 30 labels"}, "new"),
        ({"learned": "trained on 30 labels", "hold": True}, "none"),
        ({"generation": "other"}, "new"),
        ({"generation": "other", "hold": True}, "none"),
    ],
)
def test_what_makes_a_new_order_due(change, action):
    assert due(order(), tasks=Tasks.of(THREE), **{**CALM, **change}).action == action


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (recipe(model="m2"), "learned more"),
        (recipe(Random()), "settings"),
        (recipe(model="m2", prelabel=0.5), "settings"),
    ],
)
def test_a_new_order_says_what_changed(change, words):
    assert words in due(order(), tasks=Tasks.of(THREE), **{**CALM, "recipe": change}).why


def test_the_first_order_is_due_with_the_first_row():
    assert due(None, tasks=Tasks.of(THREE), **{**CALM, "embedded": 1, "arriving": True}).action == "new"


def test_a_refill_is_due_only_while_something_is_unpublished():
    more = {**THREE, 4: UNLABELED}
    assert due(order(), tasks=Tasks.of(more), **CALM).action == "refill"
    assert due(order(), tasks=Tasks.of({**THREE, 4: ANNOTATED}), **CALM).action == "none"
    assert due(order(), tasks=Tasks.of({**THREE, 4: SKIPPED}), **CALM).action == "refill"


def test_a_long_enough_head_is_not_refilled():
    many = dict.fromkeys(range(40), UNLABELED)
    held = order(tuple(range(22)))
    assert due(held, tasks=Tasks.of(many), **CALM).action == "none"
    labeled = {**many, 0: ANNOTATED}
    assert due(held, tasks=Tasks.of(labeled), **CALM).action == "refill"
