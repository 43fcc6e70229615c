"""Verdicts kept task by task: whatever came and went, they say what they would if they had been counted at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from labelqueue.labels.annotations import Annotation, Answer
from labelqueue.labels.label_config import parse_label_config
from labelqueue.labels.verdicts import Verdicts

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    '<Choice value="cat"/><Choice value="dog"/></Choices></View>'
)
ANNOTATIONS = st.builds(
    lambda number, label, cancelled, user, day, seconds: Annotation(
        number, f"2026-11-{day:02d}", user, False, cancelled, {"choice": Answer((label,) if label else ())},
        created=day * 86_400 if day > 20 else 0, seconds=seconds,
    ),
    number=st.integers(1, 40),
    label=st.sampled_from([(), ("cat",), ("dog",), ("whale",)]),
    cancelled=st.booleans(),
    user=st.sampled_from([None, 1, 2]),
    day=st.integers(1, 28),
    seconds=st.sampled_from([None, 1.0, 2.0, 7.5]),
)  # fmt: skip
STEPS = st.lists(st.tuples(st.integers(1, 6), st.lists(ANNOTATIONS, max_size=3) | st.none()), max_size=15)


@given(STEPS)
def test_what_came_and_went_leaves_no_trace(steps):
    target, now = parse_label_config(CONFIG), dict[int, list[Annotation]]()
    kept = Verdicts(target)
    for task, said in steps:
        if said is None:
            kept.drop(task)
            now.pop(task, None)
        else:
            kept.put(task, said)
            now[task] = said
        before = kept.labels()
        assert kept.labels() is before, "until something changes"
    once = Verdicts(target)
    for task, said in now.items():
        once.put(task, said)
    assert kept.labels() == once.labels() and len(kept) == len(once) == len(now)


def test_labels_stand_in_order_of_arrival_and_an_update_keeps_the_place():
    def said(number, label):
        return Annotation(number, "2026-11-28", 1, False, False, {"choice": Answer(((label,),))})

    verdicts = Verdicts(parse_label_config(CONFIG))
    verdicts.put(1, [said(30, "cat")])
    verdicts.put(2, [said(10, "dog"), said(40, "dog")])
    verdicts.put(3, [said(20, "whale")])
    verdicts.put(1, [said(30, "dog")])
    labels = verdicts.labels()
    assert list(labels.values.items()) == [(2, "dog"), (1, "dog")]
    assert labels.dropped == {"whale": 1} and labels.answers == (2, 3, 1)
    assert labels.without == {"a label that is not in the label config": 1}
