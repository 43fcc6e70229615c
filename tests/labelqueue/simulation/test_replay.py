"""One replayed campaign: nothing twice, nothing beyond the budget, the live service's phases, an exam at each count."""

import numpy as np
import pytest

from labelqueue.block import Block
from labelqueue.labels.label_config import parse_label_config
from labelqueue.simulation.dataset import Dataset
from labelqueue.simulation.pools import split
from labelqueue.simulation.replay import Replay, label_config, replay

CLASSES = ("ant", "bee", "cat", "dog")


def clusters(per_class, *, spread=0.6, seed=0, test=None):
    """Embedded images of four classes: Gaussian clouds in eight dimensions, sorted by class."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    centers = 2 * np.eye(8)[: len(CLASSES)]
    vectors = (centers[labels] + spread * rng.normal(size=(labels.size, 8))).astype(np.float16)
    places = np.arange(labels.size)
    rows = Block(places, places.astype(np.uint64), vectors, vectors, np.arange(labels.size + 1))
    return Dataset(CLASSES, labels.astype(np.int64), test, rows)


def campaign(dataset, **settings):
    pool = np.random.default_rng(1).permutation(len(dataset))
    rows = dataset.rows.take(pool)
    ids = np.arange(1, len(pool) + 1)
    block = Block(ids, rows.sources, rows.embeddings, rows.patterns, rows.offsets)
    answers = {task: CLASSES[number] for task, number in zip(ids.tolist(), dataset.labels[pool], strict=True)}
    return Replay(block, answers, CLASSES, {"seed": 0, **settings}), answers


@pytest.mark.parametrize(
    "strategy",
    [
        "auto",
        "random",
        "bal",
        "margin",
        "bal_paper",
        "maxherding",
        "probcover",
        "uherding",
        "dropquery",
        "badge",
        "bait",
    ],
)
def test_a_pool_is_labeled_to_the_last_image_and_nothing_twice(strategy):
    replayed, answers = campaign(clusters(15), strategy=strategy, horizon=10, control_share=0.2, budget=60)
    tasks = [replayed.annotate() for _ in range(60)]
    assert sorted(tasks) == sorted(answers)
    assert replayed.labels == answers and list(replayed.labels) == tasks


@pytest.mark.parametrize(
    ("cold", "warm", "titles"),
    [
        ("typiclust", "margin", ["TypiClust", "Margin"]),
        ("maxherding", "uherding", ["MaxHerding", "UHerding"]),
        ("probcover", "dropquery", ["ProbCover", "DropQuery"]),
    ],
)
def test_the_phases_are_the_live_services(cold, warm, titles):
    replayed, _ = campaign(clusters(60), strategy="auto", cold_start=cold, warm=warm, control_share=0)
    seen = []
    for _ in range(80):
        replayed.annotate()
        if not seen or seen[-1] != replayed.order.strategy:
            seen.append(replayed.order.strategy)
    assert seen == titles


def test_a_strategy_that_needs_a_model_begins_with_the_cold_start():
    replayed, _ = campaign(clusters(40), strategy="entropy", cold_start="kcenter")
    replayed.annotate()
    assert replayed.order.strategy == "KCenterGreedy"
    for _ in range(30):
        replayed.annotate()
    assert replayed.order.strategy == "Entropy"


def test_controls_are_drawn_at_the_share_asked_for():
    replayed, _ = campaign(clusters(100), strategy="random", control_share=0.25)
    for _ in range(200):
        replayed.annotate()
    share = np.mean([place.control for place in replayed.order.places])
    assert 0.15 < share < 0.35


def test_points_of_a_curve():
    dataset = clusters(50)
    part = split(dataset.labels, None, seed=3)
    points = replay(dataset, part, strategy="mine", settings={"strategy": "auto", "seed": 3}, counts=(2, 20, 60))
    assert [(point.strategy, point.seed, point.labels) for point in points] == [
        ("mine", 3, 2),
        ("mine", 3, 20),
        ("mine", 3, 60),
    ]
    assert points[0].scores[0] <= 0.5  # two labels show two of four classes at most
    assert points[2].scores[0] > 0.85
    assert points == replay(
        dataset, part, strategy="mine", settings={"strategy": "auto", "seed": 3}, counts=(2, 20, 60)
    )


def test_before_two_classes_are_known_the_one_class_is_the_answer():
    dataset = clusters(20)
    part = split(dataset.labels, None, seed=0)
    (point,) = replay(dataset, part, strategy="random", settings={"strategy": "random", "seed": 0}, counts=(1,))
    assert point.scores == (0.25, 0.25)


def test_the_exam_does_not_see_the_pool():
    labels = np.repeat(np.arange(4), 30)
    test = np.arange(120) % 3 == 0
    dataset = clusters(30, test=test)
    shuffled = Dataset(CLASSES, np.where(test, (labels + 1) % 4, labels), test, dataset.rows)
    settings = {"strategy": "random", "seed": 0}
    for given, expected in ((dataset, (0.8, 1.0)), (shuffled, (0.0, 0.1))):
        part = split(given.labels, given.test, seed=0)
        (point,) = replay(given, part, strategy="random", settings=settings, counts=(60,))
        assert expected[0] <= point.scores[1] <= expected[1]


def test_any_class_name_survives_the_label_config():
    names = ('a "b"', "<c> & d", "e'f", "g\n h", "ü")
    target = parse_label_config(label_config(names))
    assert target.labels == names and not target.multi and target.kind == "classification"


# -- several labels


def several(count=120):
    """Images of up to three labels, each with a direction of its own, and some that show none."""
    rng = np.random.default_rng(0)
    shown = rng.random((count, 3)) < (0.5, 0.3, 0.2)
    vectors = (2 * shown @ np.eye(3, 8) + 0.4 * rng.normal(size=(count, 8))).astype(np.float16)
    places = np.arange(count)
    block = Block(places, places.astype(np.uint64), vectors, vectors, np.arange(count + 1))
    return Dataset(("ant", "bee", "cat"), shown, None, block)


def test_the_label_config_asks_for_all_that_is_shown():
    target = parse_label_config(label_config(("a", "b|c"), multi=True))
    assert target.multi and target.labels == ("a", "b|c") and target.kind == "classification"


@pytest.mark.parametrize("strategy", ["auto", "random", "margin"])
def test_several_labels_are_learned_and_measured_by_their_precision(strategy):
    dataset = several()
    part = split(dataset.labels, None, seed=0)
    settings = {"strategy": strategy, "seed": 0}
    points = replay(dataset, part, strategy=strategy, settings=settings, counts=(2, 60))
    assert points[1].scores[0] > 0.9 and points[1].scores[0] > points[0].scores[0]
    assert points == replay(dataset, part, strategy=strategy, settings=settings, counts=(2, 60))


@pytest.mark.parametrize("strategy", ["auto", "bal", "bal_paper", "entropy"])
def test_a_single_label_that_holds_or_not(strategy):
    dataset = several(60)
    one = Dataset(("bee",), dataset.labels[:, 1:2], None, dataset.rows)
    settings = {"strategy": strategy, "seed": 0, "budget": 40, "switch_after": 10}
    points = replay(one, split(one.labels, None, seed=0), strategy=strategy, settings=settings, counts=(40,))
    assert points[0].scores[0] > 0.8


def test_an_annotator_of_several_labels_says_what_is_shown_and_never_a_joined_class():
    dataset = several(40)
    ids = np.arange(1, 41)
    rows = dataset.rows
    block = Block(ids, rows.sources, rows.embeddings, rows.patterns, rows.offsets)
    answers = {task: dataset.answer(task - 1) for task in ids.tolist()}
    replayed = Replay(block, answers, dataset.classes, {"seed": 0}, multi=True)
    for _ in range(40):
        replayed.annotate()
    assert replayed.labels == answers and () in answers.values()
    assert replayed.state.model.classes == ("ant", "bee", "cat") and replayed.state.model.multi


def test_progress_is_told_at_each_point():
    told = []
    dataset = clusters(20)
    part = split(dataset.labels, None, seed=0)
    settings = {"strategy": "random", "seed": 0}
    replay(dataset, part, strategy="random", settings=settings, counts=(5, 12), labeled=told.append)
    assert told == [5, 7]
