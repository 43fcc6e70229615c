"""Annotations reduced to labels, and several of them to one value."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.labels.annotations import Annotation, read_annotation, unknown_labels, value_of
from labelqueue.labels.label_config import parse_label_config

IMAGE = '<Image name="image" value="$image"/>'
CHOICES = '<Choice value="cat"/><Choice value="dog"/><Choice value="bird"/>'
SINGLE = parse_label_config(f'<View>{IMAGE}<Choices name="c" toName="image">{CHOICES}</Choices></View>')
MULTI = parse_label_config(
    f'<View>{IMAGE}<Choices name="c" toName="image" choice="multiple">{CHOICES}</Choices></View>'
)
OPEN = parse_label_config(f'<View>{IMAGE}<Choices name="c" toName="image" value="$choices"/></View>')


def said(number, *labels, truth=False, skip=False, user=1, control="c"):
    values = {control: tuple(sorted(labels))} if labels else {}
    return Annotation(number, "2026-11-21T10:00:00Z", user, truth, skip, values)


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


@pytest.mark.parametrize(
    ("results", "labels"),
    [
        ([result("c", "choices", ["cat"])], ("cat",)),
        ([result("c", "choices", ["dog", "cat"])], ("cat", "dog")),
        ([result("c", "choices", [["animal", "cat"], ["stone"]])], ("animal > cat", "stone")),
        ([result("c", "rating", 3)], ("3",)),
        ([result("c", "taxonomy", [["animal", "cat"], ["animal", "dog"]])], ("animal > cat", "animal > dog")),
        ([result("c", "rectanglelabels", ["cat"], **BOX)] * 2, ("cat",)),
        ([result("c", "rectanglelabels", ["dog", "cat"], **BOX)], ("cat", "dog")),
        ([result("c", "ellipselabels", ["cat"], x=1, y=1, radiusX=2, radiusY=2, rotation=0)], ("cat",)),
        ([result("c", "keypointlabels", ["cat"], x=1, y=1, width=0.5)], ("cat",)),
        ([result("c", "polygonlabels", ["cat"], points=[[1, 1], [2, 2], [1, 2]], closed=True)], ("cat",)),
        ([result("c", "brushlabels", ["cat"], format="rle", rle=[0, 1, 2])], ("cat",)),
    ],
)
def test_the_labels_of_every_control_are_found(results, labels):
    assert read_annotation(raw(*results)).values == {"c": labels}


@pytest.mark.parametrize(
    "item",
    [
        {"from_name": "c", "type": "rectangle", "value": BOX},
        {"from_name": "t", "type": "textarea", "value": {"text": ["cat"]}},
        {"type": "relation", "from_id": "a", "to_id": "b"},
        result("c", "rating", None),
        result("c", "choices", []),
        result("c", "choices", [""]),
    ],
)
def test_results_without_a_label_are_passed_over(item):
    assert read_annotation(raw(item)).values == {}


def test_every_control_is_kept_so_that_another_target_needs_no_second_reading():
    both = raw(result("c", "choices", ["cat"]), result("box", "rectanglelabels", ["dog"], **BOX))
    assert read_annotation(both).values == {"c": ("cat",), "box": ("dog",)}
    boxes = parse_label_config(
        f'<View>{IMAGE}<Choices name="c" toName="image">{CHOICES}</Choices>'
        '<RectangleLabels name="box" toName="image"><Label value="dog"/></RectangleLabels></View>',
        "box",
    )
    assert value_of([read_annotation(both)], boxes) == ("dog",)
    assert value_of([read_annotation(both)], SINGLE) == "cat"


def test_the_facts_of_an_annotation_survive_storing():
    one = read_annotation(raw(result("c", "choices", ["cat"]), ground_truth=True, completed_by={"id": 9}))
    assert (one.id, one.user, one.ground_truth, one.cancelled) == (4, 9, True, False)
    assert Annotation.load(json.loads(json.dumps(one.dump()))) == one
    nobody = read_annotation(raw(completed_by=None, was_cancelled=True, result=None))
    assert (nobody.user, nobody.cancelled, nobody.values) == (None, True, {})


@pytest.mark.parametrize(
    ("annotations", "single", "multi"),
    [
        ([], None, None),
        ([said(1, "cat")], "cat", ("cat",)),
        ([said(1)], None, ()),  # submitted empty
        ([said(1, "cat", skip=True)], None, None),
        ([said(1, "cat", skip=True), said(2, "dog")], "dog", ("dog",)),
        ([said(1, "cat"), said(2, "dog")], None, None),
        ([said(1, "cat"), said(2, "dog"), said(3, "cat")], "cat", ("cat",)),
        ([said(1, "cat"), said(2, "dog"), said(3, "bird")], None, ()),
        ([said(1, "cat"), said(2)], "cat", None),
        ([said(1, "cat"), said(2), said(3)], "cat", ()),
        ([said(1, "cat", "dog"), said(2, "cat")], "cat", None),  # undecided on the dog
        ([said(1, "cat", "dog"), said(2, "cat", "dog")], None, ("cat", "dog")),
        ([said(1, "cat", "dog"), said(2, "cat", "bird"), said(3, "cat", "dog")], None, ("cat", "dog")),
        ([said(1, "cat"), said(2, "cat"), said(3, "dog", truth=True)], "dog", ("dog",)),
        ([said(1, "cat"), said(2, truth=True)], None, ()),
        ([said(1, "cat"), said(2, "dog", truth=True), said(3, "bird", truth=True)], None, None),
        ([said(1, "cat"), said(2, "dog", truth=True, skip=True)], "cat", ("cat",)),
        ([said(1, "whale")], None, ()),  # not in the config (any more)
        ([said(1, "whale", "cat")], "cat", ("cat",)),
        ([said(1, "cat", control="other")], None, ()),
    ],
)
def test_several_annotations_come_to_one_value(annotations, single, multi):
    assert value_of(annotations, SINGLE) == single
    assert value_of(annotations, MULTI) == multi


def test_labels_that_the_config_lost_are_named():
    annotations = [said(1, "cat", "whale"), said(2, "ghost", skip=True), said(3, "unicorn", control="other")]
    assert unknown_labels(annotations, SINGLE) == {"whale"}
    assert unknown_labels([*annotations, said(4, "cat", truth=True)], SINGLE) == set()


def test_a_step_above_a_label_counts_for_nothing_and_is_not_unknown():
    tree = parse_label_config(
        f'<View>{IMAGE}<Taxonomy name="c" toName="image"><Choice value="animal"><Choice value="cat"/></Choice>'
        "</Taxonomy></View>"
    )
    annotation = said(1, "animal", "animal > cat", "animal > whale")
    assert value_of([annotation], tree) == ("animal > cat",)
    assert unknown_labels([annotation], tree) == {"animal > whale"}


def test_a_config_without_labels_takes_what_it_sees():
    assert value_of([said(1, "whale")], OPEN) == "whale"
    assert unknown_labels([said(1, "whale")], OPEN) == set()


ANNOTATIONS = st.lists(
    st.builds(
        lambda labels, truth, skip: said(1, *labels, truth=truth, skip=skip),
        st.sets(st.sampled_from(["cat", "dog", "bird", "whale"])),
        st.booleans(),
        st.booleans(),
    ),
    max_size=6,
).map(lambda made: [replace(one, id=number) for number, one in enumerate(made)])


@given(ANNOTATIONS, st.randoms(use_true_random=False), st.sampled_from([SINGLE, MULTI, OPEN]))
def test_the_order_of_annotations_does_not_matter(annotations, random, target):
    shuffled = random.sample(annotations, len(annotations))
    assert value_of(shuffled, target) == value_of(annotations, target)
    assert unknown_labels(shuffled, target) == unknown_labels(annotations, target)


@given(ANNOTATIONS, st.integers(2, 3))
def test_everybody_saying_the_same_again_changes_nothing(annotations, times):
    for target in (SINGLE, MULTI):
        assert value_of(annotations * times, target) == value_of(annotations, target)


@given(ANNOTATIONS)
def test_a_value_is_one_that_the_config_allows(annotations):
    single, multi = value_of(annotations, SINGLE), value_of(annotations, MULTI)
    assert single is None or single in SINGLE.labels
    assert multi is None or (set(multi) <= set(MULTI.labels) and multi == tuple(sorted(multi)))
