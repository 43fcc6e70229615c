"""What is learned and ordered depends on the labels alone: not on how many of them a look happened to find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from labelqueue.block import Block
from labelqueue.labels.annotations import ANNOTATED, SKIPPED, UNLABELED
from labelqueue.labels.label_config import parse_label_config
from labelqueue.ordering.campaign_state import CampaignState
from labelqueue.ordering.decision import decide
from labelqueue.ordering.snapshot import Labels, Snapshot, Tasks
from labelqueue.settings import PROJECT
from labelqueue.simulation.replay import label_config

CLASSES = ("ant", "bee", "cat")
N = 320
TARGET = parse_label_config(label_config(CLASSES))
DEFAULTS = {name: setting.default for name, setting in PROJECT.items()} | {"switch_after": 20, "trials": 3}


def pool(noise):
    """Three overlapping clouds, and the class of each task."""
    rng = np.random.default_rng(3)
    kinds = rng.integers(0, 3, size=N)
    rows = (np.eye(3, 6)[kinds] * 3 + rng.normal(size=(N, 6)) * noise).astype(np.float16)
    ids = np.arange(1, N + 1, dtype=np.int64)
    return Block(ids, np.zeros(N, np.uint64), rows, rows, np.arange(N + 1, dtype=np.int64)), kinds


class Service:
    """One service on a pool: it hears of events, and looks when it is told to."""

    def __init__(self, noise=1.0, annotators=1, prelabels=True, one_class=False, **chosen):
        self.block, self.kinds = pool(noise)
        self.kinds = self.kinds * (not one_class)
        self.settings = DEFAULTS | chosen
        self.states, self.labels, self.answers = dict.fromkeys(range(1, N + 1), UNLABELED), {}, []
        self.state, self.live, self.learned, self.number = CampaignState(), None, "", 0
        self.annotators, self.prelabels = annotators, prelabels
        self.look()

    def hear(self, event):
        task = abs(event)
        self.answers.append(event)
        if event > 0:
            self.labels[task] = CLASSES[self.kinds[task - 1]]
        self.states[task] = ANNOTATED if event > 0 else SKIPPED

    def look(self):
        snapshot = Snapshot(
            TARGET, self.settings, Tasks.of(self.states, self.states), Labels.of(self.labels), self.state, self.live,
            "g", lambda: self.block, answers=np.array(self.answers, dtype=np.int64), learned=self.learned,
            annotators=self.annotators, prelabels=self.prelabels, arrivals=N,
        )  # fmt: skip
        decision = decide(snapshot)
        assert decision.failure is None
        self.state, self.learned = decision.state, decision.learned
        if decision.order is not None:
            self.live = decision.order
            if decision.due.action == "new":
                self.number += 1
                self.live = replace(self.live, number=self.number, version=f"r{self.number} {self.live.version}")
                self.learned = ""
            self.state = self.state.serving(self.live.version, decision.places)
        return decision

    @property
    def open(self):
        """What is served from here on."""
        return [place for place in self.live.places if self.states[place.task] == UNLABELED]

    @property
    def memory(self):
        """What was learned, but for which tasks were controls: that depends on the orders that were really served."""
        state = self.state
        guesses = [replace(guess, control="") for guess in state.blind_guesses()]
        facts = state.trained_on, state.trainings, state.course, state.cycle, state.trust, state.filling, state.heard
        model = state.model and state.model.digest, state.predictions and state.predictions.probabilities.tobytes()
        return facts, guesses, model, state.geometry and state.geometry.digest


def campaign(events, seed, **settings):
    """Return the events of a campaign, in which people mostly take what comes next, and what follows from each."""
    service, rng = Service(**settings), np.random.default_rng(seed)
    happened, after = [], []
    for _ in range(events):
        task = service.open[0].task
        if rng.random() < 0.2:
            task = int(rng.choice([task for task, state in service.states.items() if state == UNLABELED]))
        happened.append(-task if rng.random() < 0.1 else task)
        service.hear(happened[-1])
        service.look()
        after.append((service.memory, service.open))
    return happened, after


def same_beginning(one, other):
    """Tell whether two lists agree as far as both go, and go far."""
    both = min(len(one), len(other))
    return both >= 20 and one[:both] == other[:both]


CASES = {
    "auto": {},
    "no pre-labels": {"prelabel": "off"},
    "hard": {"noise": 2.5},
    "hopeless": {"noise": 50.0},
    "budget": {"budget": 200, "batch_size": 7},
    "paper": {"trials": 1, "metric": "cosine", "strategy": "bal_paper", "budget": 120, "batch_size": 12},
    "one class, by the paper": {"one_class": True, "strategy": "bal_paper", "budget": 120, "batch_size": 12},
    "one class": {"one_class": True},
    "cold for ever": {"strategy": "freesel", "prelabel": "off"},
    "margin": {"warm": "margin", "prelabel": "on", "retrain_every": 13},
    "herding": {"cold_start": "maxherding", "warm": "uherding"},
    "dropout": {"cold_start": "probcover", "warm": "dropquery"},
    "gradients": {"warm": "badge"},
    "information": {"warm": "bait"},
    "pinned": {"strategy": "margin", "control_share": 0.3},
}


@pytest.mark.parametrize("case", CASES)
def test_bursts_lead_where_single_labels_lead(case):
    settings = {"horizon": 20, **CASES[case]}
    happened, after = campaign(150, 1, **settings)
    for burst in (7, 50):
        late = Service(**settings)
        for number, event in enumerate(happened, start=1):
            late.hear(event)
            if number % burst == 0:
                late.look()
                memory, open_places = after[number - 1]
                assert late.memory == memory
                assert same_beginning(late.open, open_places)


@examples(max_examples=12, deadline=None)
@given(
    st.sampled_from(sorted(CASES)),
    st.integers(0, 5),
    st.lists(st.booleans(), min_size=100, max_size=100),
    st.sampled_from([10, 30, 100]),
    st.integers(1, 8),
)
def test_whenever_one_looks(case, seed, looks, horizon, annotators):
    happened, after = campaign(100, seed, horizon=20, **CASES[case])
    late = Service(horizon=horizon, annotators=annotators, **CASES[case])
    for event, look, (memory, open_places) in zip(happened, looks, after, strict=True):
        late.hear(event)
        if look:
            late.look()
            assert late.memory == memory
            assert same_beginning(late.open, open_places)


def test_a_flood_of_labels_is_gone_through_in_several_looks_and_leads_to_the_same(monkeypatch):
    happened, after = campaign(150, 2, horizon=20)
    late = Service(horizon=20)
    for event in happened:
        late.hear(event)
    monkeypatch.setattr("labelqueue.ordering.campaign.WORK", 60)
    before, looks = late.live, 0
    while True:
        decision = late.look()
        looks += 1
        if decision.again_in is None:
            break
        assert decision.again_in == 0.0 and len(late.state.heard) + len(late.state.trained_on) < len(late.labels)
        assert late.live == before or late.live.places, "nobody waits for it when the queue runs low"
    memory, open_places = after[-1]
    assert looks > 3 and late.memory == memory
    assert same_beginning(late.open, open_places)
