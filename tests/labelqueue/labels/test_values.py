"""Several annotations of a task come to one value, or to none, and why."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.labels.annotations import Annotation, Answer, read_annotation
from labelqueue.labels.label_config import CONTROLS, parse_label_config
from labelqueue.labels.values import classes_of, judge, unknown_labels, value_of

IMAGE = '<Image name="image" value="$image"/>'
CHOICES = '<Choice value="cat"/><Choice value="dog"/><Choice value="bird"/>'


def config(*controls, label_map=None):
    return parse_label_config(f"<View>{IMAGE}{''.join(controls)}</View>", label_map=label_map)


SINGLE = config(f'<Choices name="c" toName="image">{CHOICES}</Choices>')
MULTI = config(f'<Choices name="c" toName="image" choice="multiple">{CHOICES}</Choices>')
OPEN = config('<Choices name="c" toName="image" value="$choices"/>')
LABELS = '<Label value="car"/><Label value="person"/>'
BOXES = f'<RectangleLabels name="c" toName="image">{LABELS}</RectangleLabels>'
BOX = {"x": 10, "y": 10, "width": 20, "height": 20, "rotation": 0}


def said(number, *labels, truth=False, skip=False, user=1, control="c"):
    answers = {control: Answer(tuple(sorted(tuple(label.split(" > ")) for label in labels)))} if labels else {}
    return Annotation(number, "2026-11-21T10:00:00Z", user, truth, skip, answers)


def submitted(*results):
    facts = {"id": 1, "updated_at": "", "completed_by": 1, "ground_truth": False, "was_cancelled": False}
    return read_annotation({**facts, "result": list(results)})


def box(*labels, control="c"):
    return {"type": "rectanglelabels", "from_name": control, "value": {**BOX, "rectanglelabels": list(labels)}}


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
        ([said(1, "whale")], None, None),  # not in the config (any more): it says nothing of the others
        ([said(1, "whale", "cat")], None, None),
        ([said(1, "whale"), said(2, "cat")], "cat", ("cat",)),
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
    assert value_of([said(1, "animal", "animal > cat")], tree) == ("animal > cat",)
    assert judge([said(1, "animal")], tree).why == "a branch without a leaf"
    annotation = said(1, "animal", "animal > cat", "animal > whale")
    assert value_of([annotation], tree) is None and unknown_labels([annotation], tree) == {"animal > whale"}


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


class TestWhatCountsAsALabel:
    """Absence is taught by a complete answer only: no regions at all, or known labels only."""

    @pytest.mark.parametrize(
        ("results", "value", "why"),
        [
            ([], (), ""),
            ([box("car")], ("car",), ""),
            ([box("car"), box("person"), box("car")], ("car", "person"), ""),
            ([box("van")], None, "a label that is not in the label config"),
            ([box("van"), box("person")], None, "a label that is not in the label config"),
            ([box()], None, "a region without a label"),
            ([box("car"), box()], None, "a region without a label"),
            ([{"type": "rectangle", "from_name": "c", "value": BOX}], None, "a region without a label"),
            ([box("dog", control="other")], None, "only regions of another control"),
            ([box("dog", control="other"), box("car")], ("car",), ""),
            ([{"type": "polygon", "from_name": "p", "value": {"points": []}}], None, "only regions of another control"),
            ([None, box("car")], None, "an answer that cannot be read"),
            (["x"], None, "an answer that cannot be read"),
        ],
    )
    def test_regions(self, results, value, why):
        verdict = judge([submitted(*results)], config(BOXES))
        assert (verdict.value, verdict.why) == (value, why)

    @pytest.mark.parametrize(
        "beside",
        [
            {"type": "choices", "from_name": "q", "value": {"choices": ["ok"]}},
            {"type": "textarea", "from_name": "t", "value": {"text": ["blurred"]}},
            {"type": "rating", "from_name": "r", "value": {"rating": 3}},
            {"type": "choices", "from_name": "color", "id": "a", "value": {"choices": ["red"], **BOX}},  # per region
            {"type": "relation", "from_id": "a", "to_id": "b"},
        ],
    )
    def test_answers_that_draw_nothing_neither_teach_nor_prevent_absence(self, beside):
        target = config(BOXES)
        assert value_of([submitted(beside)], target) == ()
        assert value_of([submitted(beside, box("car"))], target) == ("car",)
        assert value_of([submitted(beside, box("van"))], target) is None

    @pytest.mark.parametrize("tag", [tag for tag, (kind, _) in CONTROLS.items() if kind != "classification"])
    def test_of_every_control_that_draws(self, tag):
        shape = '<Rectangle name="s" toName="image"/>' if tag == "Labels" else ""
        target = config(f'<{tag} name="c" toName="image">{LABELS}</{tag}>', shape)

        def region(*labels):
            return {"type": tag.lower(), "from_name": "c", "value": {**BOX, tag.lower(): list(labels)}}

        assert value_of([submitted(region("car"))], target) == ("car",)
        assert value_of([submitted(region("van"))], target) is None
        assert value_of([submitted(region())], target) is None
        assert value_of([submitted()], target) == ()

    def test_shapes_that_labels_name(self):
        labels = f'<Labels name="c" toName="image">{LABELS}</Labels>'
        target = config(labels, '<Rectangle name="s" toName="image"/>', '<Brush name="b" toName="image"/>')
        assert (target.kind, target.shapes) == ("segmentation", ("s", "b"))
        shape = {"id": "1", "type": "rectangle", "from_name": "s", "value": BOX}
        named = {"id": "1", "type": "labels", "from_name": "c", "value": {**BOX, "labels": ["car"]}}
        assert value_of([submitted(shape, named)], target) == ("car",)
        assert judge([submitted(shape)], target).why == "a region without a label"
        assert judge([submitted(shape, named, {**shape, "id": "2"})], target).why == "a region without a label"

    @pytest.mark.parametrize(
        ("paths", "value"),
        [
            ([["animal", "cat"]], ("animal > cat",)),
            ([["animal"]], None),
            ([["animal"], ["animal", "cat"]], ("animal > cat",)),
            ([["stone"], ["animal"]], None),
            ([["animal", "cow"]], None),  # added by an annotator
            ([], ()),
        ],
    )
    def test_a_taxonomy(self, paths, value):
        tree = '<Choice value="animal"><Choice value="cat"/><Choice value="dog"/></Choice><Choice value="stone"/>'
        target = config(f'<Taxonomy name="c" toName="image">{tree}</Taxonomy>')
        answer = {"type": "taxonomy", "from_name": "c", "value": {"taxonomy": paths}}
        assert value_of([submitted(answer)] if paths else [submitted()], target) == value

    def test_an_incomplete_answer_does_not_outvote_complete_ones(self):
        target = config(BOXES)
        assert value_of([submitted(box("van")), submitted(box("car"))], target) == ("car",)

    def test_where_there_is_no_control_to_learn_from_nothing_is_a_label(self):
        assert judge([submitted()], config('<TextArea name="t" toName="image"/>')).value is None


class TestLabelMap:
    def test_a_renamed_label_counts_as_what_it_is_called_now(self):
        target = config(BOXES, label_map={"van": "car"})
        assert value_of([submitted(box("van"), box("person"))], target) == ("car", "person")
        assert unknown_labels([submitted(box("van"))], target) == set()
        single = config(f'<Choices name="c" toName="image">{CHOICES}</Choices>', label_map={"kitty": "cat"})
        assert value_of([said(1, "kitty")], single) == "cat"

    def test_paths_are_written_joined(self):
        tree = '<Choice value="animal"><Choice value="cat"/></Choice>'
        target = config(f'<Taxonomy name="c" toName="image">{tree}</Taxonomy>', label_map={"pet > cat": "animal > cat"})
        assert value_of([said(1, "pet > cat")], target) == ("animal > cat",)

    def test_a_label_that_leads_nowhere_stays_unknown(self):
        target = config(BOXES, label_map={"van": "lorry"})
        assert value_of([submitted(box("van"))], target) is None


FAULTS = Path(__file__).parents[4] / "shared" / "faults" / "annotations.json"
RECORDED = json.loads(FAULTS.read_text()) if FAULTS.exists() else []


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["name"])
def test_cases_that_went_wrong_once(case):
    target = parse_label_config(case["config"])
    value = value_of([submitted(*results) for results in case["results"]], target)
    assert value == (tuple(case["expect"]) if isinstance(case["expect"], list) else case["expect"])


def test_classes_are_the_configs_or_those_seen():
    assert classes_of(SINGLE, ["dog"]) == ("cat", "dog", "bird")
    assert classes_of(OPEN, ["dog", "cow", "dog"]) == ("cow", "dog")
