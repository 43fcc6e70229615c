"""Annotations reduced to the labels in them, whatever an import put there."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.labels.annotations import ANNOTATED, SKIPPED, UNLABELED, Annotation, Answer, read_annotation, state_of


def result(control, kind, value, **more):
    return {"from_name": control, "to_name": "image", "type": kind, "value": {kind: value, **more}}


def raw(*results, **more):
    return {
        "id": 4,
        "updated_at": "2026-11-21T10:00:00Z",
        "completed_by": 2,
        "ground_truth": False,
        "was_cancelled": False,
        "result": list(results),
    } | more


# As Label Studio 1.23.2 stores what its editor submits; tests/e2e/test_labels.py sends them to a real one.
BOX = {"x": 10, "y": 10, "width": 20, "height": 20, "rotation": 0}
POINTS = [[1, 1], [2, 2], [1, 2]]


@pytest.mark.parametrize(
    ("results", "paths"),
    [
        ([result("c", "choices", ["cat"])], [["cat"]]),
        ([result("c", "choices", ["dog", "cat"])], [["cat"], ["dog"]]),
        ([result("c", "choices", [["animal", "cat"], ["stone"]])], [["animal", "cat"], ["stone"]]),
        ([result("c", "rating", 3)], [["3"]]),
        ([result("c", "rating", 3.0)], [["3"]]),
        ([result("c", "taxonomy", [["animal", "cat"], ["animal", "dog"]])], [["animal", "cat"], ["animal", "dog"]]),
        ([result("c", "rectanglelabels", ["cat"], **BOX)] * 2, [["cat"]]),
        ([result("c", "rectanglelabels", ["dog", "cat"], **BOX)], [["cat"], ["dog"]]),
        ([result("c", "ellipselabels", ["cat"], x=1, y=1, radiusX=2, radiusY=2, rotation=0)], [["cat"]]),
        ([result("c", "keypointlabels", ["cat"], x=1, y=1, width=0.5)], [["cat"]]),
        ([result("c", "polygonlabels", ["cat"], points=POINTS, closed=True)], [["cat"]]),
        ([result("c", "brushlabels", ["cat"], format="rle", rle=[0, 1, 2])], [["cat"]]),
        ([result("c", "bitmasklabels", ["cat"], imageDataURL="data:")], [["cat"]]),
        ([result("c", "vectorlabels", ["cat"], vertices=[])], [["cat"]]),
        ([result("c", "labels", ["cat"], **BOX)], [["cat"]]),
        ([{"from_name": "c", "type": "rectangle", "value": {"labels": ["cat"], **BOX}}], [["cat"]]),
        ([{"from_name": "c", "value": {"choices": ["cat"]}}], [["cat"]]),
        ([result("c", "choices", ["a > b"])], [["a > b"]]),
    ],
)
def test_the_labels_of_every_control_are_found(results, paths):
    read = read_annotation(raw(*results))
    assert read.answers["c"].paths == tuple(map(tuple, paths))
    assert not read.answers["c"].bare and not read.unreadable


@pytest.mark.parametrize(
    "item",
    [
        {"from_name": "t", "type": "textarea", "value": {"text": ["cat"]}},
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
        {"from_name": "p", "type": "pairwise", "value": {"selected": "left"}},
        {"from_name": "d", "type": "datetime", "value": {"datetime": "2026"}},
        {},
    ],
)
def test_results_that_give_no_labels_are_passed_over(item):
    read = read_annotation(raw(item))
    assert read.answers == {} and not read.unreadable


@pytest.mark.parametrize(
    ("item", "drawn"),
    [
        ({"from_name": "c", "type": "rectangle", "value": BOX}, True),
        ({"from_name": "c", "type": "rectanglelabels", "value": BOX}, True),
        (result("c", "rectanglelabels", [], **BOX), True),
        (result("c", "rating", None), False),
        (result("c", "choices", []), False),
        (result("c", "choices", [""]), False),
    ],
)
def test_answers_without_a_label_are_told_from_no_answer(item, drawn):
    (answer,) = read_annotation(raw(item)).answers.values()
    assert answer == Answer((), bare=True, drawn=drawn)


def test_a_shape_and_its_labels_are_two_items_of_one_id():
    shape = {"id": "r1", "from_name": "box", "type": "rectangle", "value": BOX}
    named = {"id": "r1", **result("c", "labels", ["word"], **BOX)}
    read = read_annotation(raw(shape, named))
    assert read.answers == {"box": Answer((), False, True), "c": Answer((("word",),), False, True)}
    assert read_annotation(raw({**shape, "id": "r2"}, named)).answers["box"].bare


@pytest.mark.parametrize(
    "results",
    [
        [None],
        ["x"],
        [["x"]],
        [7],
        "cat",
        {"choices": ["cat"]},
        [{"from_name": None, "type": "choices", "value": {"choices": ["cat"]}}],
        [{"from_name": "c", "type": "choices", "value": None}],
        [{"from_name": "c", "type": "choices", "value": {"choices": [{"a": 1}]}}],
        [{"from_name": "c", "type": "choices", "value": {"choices": {"a": 1}}}],
        [{"from_name": "c", "type": "taxonomy", "value": {"taxonomy": [["a", None]]}}],
    ],
)
def test_what_is_no_answer_is_noticed_and_the_rest_is_read(results):
    items = [*results, result("d", "choices", ["dog"])] if isinstance(results, list) else results
    read = read_annotation(raw(result=items))
    assert read.unreadable
    assert not isinstance(results, list) or read.answers["d"].paths == (("dog",),)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
KEYS = st.sampled_from(["type", "from_name", "value", "id", "choices", "labels", "rectanglelabels", "x"])
ITEM = st.dictionaries(KEYS, JSON | st.sampled_from(["choices", "rectangle", "labels", "taxonomy"]), max_size=6)


@given(JSON | st.lists(ITEM, max_size=4))
def test_any_result_is_read_or_marked(value):
    read = read_annotation(raw(result=value))
    assert Annotation.load(json.loads(json.dumps(read.dump()))) == read
    assert isinstance(value, list | None) or read.unreadable


@pytest.mark.parametrize("region", [[], {}, [1], 1.5, None])
def test_a_region_whose_id_is_none_is_read(region):
    results = [
        {"id": region, "from_name": "c", "type": "labels", "value": {"labels": ["cat"]}},
        {"id": region, "from_name": "box", "type": "rectangle", "value": BOX},
    ]
    read = read_annotation(raw(result=results))
    assert read.answers["c"].paths == (("cat",),) and read.answers["box"].bare


def test_every_control_is_kept_so_that_another_target_needs_no_second_reading():
    both = raw(result("c", "choices", ["cat"]), result("box", "rectanglelabels", ["dog"], **BOX))
    assert {name: one.paths for name, one in read_annotation(both).answers.items()} == {
        "c": (("cat",),),
        "box": (("dog",),),
    }


def test_the_facts_of_an_annotation_survive_storing():
    one = read_annotation(raw(result("c", "choices", ["cat"]), ground_truth=True, completed_by={"id": 9}))
    assert (one.id, one.user, one.ground_truth, one.cancelled) == (4, 9, True, False)
    assert Annotation.load(json.loads(json.dumps(one.dump()))) == one
    timed = read_annotation(raw(created_at="2026-11-21T10:00:00.5Z", lead_time=4.2))
    assert (timed.created, timed.seconds) == (1_795_255_200, 4.2) and (one.created, one.seconds) == (0, None)
    assert Annotation.load(json.loads(json.dumps(timed.dump()))) == timed
    assert Annotation.load(timed.dump()[:7]) == read_annotation(raw()), "of a version that did not keep the two"
    nobody = read_annotation(raw(completed_by=None, was_cancelled=True, result=None))
    assert (nobody.user, nobody.cancelled, nobody.answers, nobody.unreadable) == (None, True, {}, False)


def test_a_task_is_annotated_skipped_or_neither():
    said, skipped = read_annotation(raw()), read_annotation(raw(was_cancelled=True))
    assert [state_of(some) for some in ([], [skipped], [skipped, said])] == [UNLABELED, SKIPPED, ANNOTATED]
