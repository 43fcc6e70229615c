"""Stop hints: what one training changed, and when the last ones together say that nothing moves any more."""

import json

import numpy as np
import pytest

from labelqueue.learning.model import Model
from labelqueue.learning.predictions import Predictions
from labelqueue.stopping.hints import Step, step, stop_hints

CLASSES = ("ant", "bee", "cat")


def said(chances, ids=None, classes=CLASSES, multi=False):
    """A model and its predictions, with these probabilities."""
    c = len(classes)
    zeros = np.zeros((c, 2), np.float32)
    model = Model(classes, multi, zeros[0], zeros[0] + 1, zeros, zeros[:, 0], 1.0, 50, 0, "f")
    chances = np.array(chances, dtype=np.float16)
    return model, Predictions(np.arange(1, len(chances) + 1) if ids is None else np.array(ids), chances)


A, B, C = (0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8)
EVERY = np.arange(1, 5)


def test_the_first_model_has_nothing_to_be_compared_with():
    taken = step(None, said([A, B, C, A]), EVERY, labels=50, guessed=0.5, guesses=20)
    assert (taken.labels, taken.agreement, taken.changed) == (50, None, None)
    assert (taken.guessed, taken.guesses) == (0.5, 20)


def test_agreement_is_cohens_kappa():
    same = step(said([A, B, C, A]), said([A, B, C, A]), EVERY, labels=50)
    assert (same.agreement, same.changed) == (1.0, 0.0)
    other = step(said([A, A, B, B]), said([A, B, B, B]), EVERY, labels=50)
    assert other.changed == 0.25
    assert other.agreement == pytest.approx((0.75 - 0.5) / 0.5)  # by chance: 1/2 * 1/4 + 1/2 * 3/4
    alike = step(said([A, A, A, A]), said([A, A, A, A]), EVERY, labels=50)
    assert alike.agreement == 1.0, "all alike, and agreed on"


def test_only_images_without_a_label_that_both_know_count():
    old, new = said([A, B, C], ids=[1, 2, 3]), said([B, B, C, A], ids=[1, 2, 3, 9])
    assert step(old, new, np.array([2, 3, 9, 77]), labels=50).changed == 0.0
    nobody = step(old, new, np.array([77]), labels=50)
    assert (nobody.agreement, nobody.changed, nobody.doubt) == (None, None, 0.0)


def test_models_of_other_classes_are_compared_by_name():
    old = said([(0.9, 0.1), (0.1, 0.9)], classes=("bee", "cat"))
    assert step(old, said([B, C]), np.arange(1, 3), labels=50).changed == 0.0
    assert (
        step(said([A, C]), said([(0.9, 0.1), (0.1, 0.9)], classes=("bee", "cat")), np.arange(1, 3), labels=9).changed
        == 0.5
    )


def test_of_several_labels_each_counts():
    old, new = (said(rows, multi=True) for rows in ([(0.9, 0.1, 0.9), A], [(0.9, 0.9, 0.9), A]))
    taken = step(old, new, np.arange(1, 3), labels=50)
    assert taken.changed == 0.5 and 0 < taken.agreement < 1


def test_doubt_is_the_share_of_the_largest_entropy():
    third = (1 / 3, 1 / 3, 1 / 3)
    assert step(None, said([third] * 4), EVERY, labels=50).doubt == pytest.approx(1.0, abs=1e-3)
    assert step(None, said([(1, 0, 0)] * 4), EVERY, labels=50).doubt == pytest.approx(0.0, abs=1e-9)
    assert step(None, said([(0.5, 0.5, 0.5)] * 4, multi=True), EVERY, labels=50).doubt == pytest.approx(1.0)


def test_a_step_comes_back():
    taken = step(said([A, A, B, B]), said([A, B, B, B]), EVERY, labels=50)
    assert Step.load(json.loads(json.dumps({**taken.dump(), "later": 1}))).changed == taken.changed


def of(agreement=0.9, changed=0.1, doubt=0.5):
    return Step(50, None, 0, doubt, agreement, changed)


def met(steps):
    return {hint.name: hint.met for hint in stop_hints(steps)}


def test_no_hint_is_met_while_much_moves_and_none_is_known_before_it_can_be():
    names = ["stable predictions", "overall uncertainty", "no change"]
    assert met([]) == dict.fromkeys(names)
    assert met([of(None, None)]) == dict(zip(names, (None, False, None), strict=True))
    assert met([of()] * 5) == dict.fromkeys(names, False)


def test_each_hint_is_met_by_its_own_rule():
    assert met([of(0.975), of(1.0), of(1.0)])["stable predictions"] is True, "the mean counts"
    assert met([of(0.9), of(1.0), of(1.0)])["stable predictions"] is False
    assert met([of(1.0)] * 2)["stable predictions"] is None
    assert met([of(doubt=0.09)])["overall uncertainty"] is True
    assert met([of(changed=0.0), of(changed=0.001)])["no change"] is True
    assert met([of(changed=0.01), of(changed=0.0)])["no change"] is False


def test_hints_say_what_they_go_by():
    told = [hint.told for hint in stop_hints([of(0.9)] * 3)]
    assert "at least 0.99: 0.900" in told[0] and "0.50" in told[1] and "10.0%" in told[2]
    assert "too few trainings yet" in stop_hints([])[0].told
