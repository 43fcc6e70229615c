"""Places shared out among the values of a field: in orders and their refills, beside controls and near-duplicates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from labelqueue.block import Block
from labelqueue.labels.annotations import ANNOTATED, UNLABELED
from labelqueue.ordering.decision import decide
from labelqueue.ordering.inputs import Material, load_inputs, ranked
from labelqueue.ordering.snapshot import Labels, Tasks
from labelqueue.simulation.replay import Replay

N = 400
SITE = np.repeat([0, 1, 2, 3], [200, 120, 60, 20])  # shares of 50, 30, 15 and 5 %
SHARES = np.bincount(SITE) / N


def pool(hashed=False):
    """Images that look like their site; those of site 0 are what a strategy would take last."""
    rng = np.random.default_rng(0)
    spread = np.array([0.1, 1.0, 2.0, 4.0])[SITE, None]
    vectors = (rng.normal(size=(4, 16))[SITE] * 3 + spread * rng.normal(size=(N, 16))).astype(np.float16)
    ids, empty = np.arange(1, N + 1, dtype=np.int64), np.zeros(N, np.uint64)
    hashes = np.where(np.arange(N) % 40 < 8, np.arange(N) // 40 + 1, 0).astype(np.uint64) * np.uint64(2**40)
    return Block(ids, empty, vectors, vectors, np.arange(N + 1, dtype=np.int64), hashes if hashed else empty)


def snapshot_of(rows, done=(), balance="site", **settings):
    """Return what a look sees after some tasks were labeled in turn."""
    answers = {task: ("cat", "dog")[task % 2] for task in range(1, N + 1)}
    chosen = {"control_share": 0.0, "horizon": 40, "trials": 3, "balance": balance, **settings}
    fresh = Replay(rows, answers, ("cat", "dog"), chosen)._before
    states = dict.fromkeys(answers, UNLABELED) | dict.fromkeys(done, ANNOTATED)
    tasks = replace(Tasks.of(states, list(states)), groups=SITE if balance else None)
    return replace(fresh, tasks=tasks, labels=Labels.of({task: answers[task] for task in done}))


def off(tasks):
    """Return for every 20 in turn by how much the site is off that is off most."""
    sites = np.eye(4)[[SITE[task - 1] for task in tasks]]
    sums = np.concatenate([np.zeros((1, 4)), np.cumsum(sites, axis=0)])
    return np.abs(sums[20:] - sums[:-20] - 20 * SHARES).max(axis=1)


def tasks_of(order):
    return [place.task for place in order.places]


@pytest.mark.parametrize("strategy", ["freesel", "typiclust", "random"])
def test_any_20_places_hold_each_site_by_its_share(strategy):
    order = decide(snapshot_of(pool(), cold_start=strategy)).order
    assert len(order.places) == 120 and len({place.task for place in order.places}) == 120
    assert off(tasks_of(order)).max() <= 2
    assert order.parameters["balance"] == "site"
    left = decide(snapshot_of(pool(), cold_start=strategy, balance="")).order
    assert "balance" not in left.parameters
    if strategy == "freesel":
        assert off(tasks_of(left)).max() > 2, "the strategy would do otherwise"


def test_an_order_follows_from_its_inputs_and_a_longer_one_begins_with_it():
    rows = pool()
    order = decide(snapshot_of(rows, control_share=0.2)).order
    (inputs,) = load_inputs(order.inputs)
    assert inputs.tasks.groups.tolist() == SITE.tolist()
    longer = ranked(inputs, Material(rows), N)
    assert tuple(longer[: len(order.places)]) == order.places
    assert sorted(place.task for place in longer) == list(range(1, N + 1)), "nothing is lost or served twice"
    assert ranked(inputs, Material(rows), 33) == longer[:33]


def test_the_inputs_of_other_orders_are_what_they_were():
    (inputs,) = load_inputs(decide(snapshot_of(pool(), balance="")).order.inputs)
    assert "balance" not in inputs.settings and inputs.tasks.groups is None and not inputs.served.size


def test_a_whole_campaign_of_orders_and_refills_is_within_the_bound():
    """Labels in turn: every so often a training replaces the order, and refills go on behind what is left."""
    rows, done, seen = pool(), [], set()
    snapshot = snapshot_of(rows, cold_start="freesel", strategy="freesel", horizon=20)
    for _ in range(12):
        decision = decide(snapshot)
        live = snapshot.live if decision.order is None else replace(decision.order, number=1)
        seen.add(decision.due.action)
        done += [task for task in tasks_of(live) if task not in done][:25]
        after = snapshot_of(rows, done, strategy="freesel", horizon=20, seed=len(done) // 100)
        snapshot = replace(after, live=live, state=decision.state)
    assert seen == {"new", "refill"} and off(done).max() <= 2


def test_controls_are_drawn_from_all_and_the_picks_make_up_for_them():
    order = decide(snapshot_of(pool(), control_share=0.1, seed=3)).order
    controls = [place for place in order.places if place.control]
    held = np.convolve([place.control for place in order.places], np.ones(20), mode="valid")
    assert len(controls) > 4 and (off(tasks_of(order)) <= 2 + held).all()
    assert (off(tasks_of(order)) <= 2).mean() > 0.9


def test_near_duplicates_stand_last_outside_the_rule():
    rows = pool(hashed=True)
    rows = replace(rows, embeddings=np.where((rows.hashes > 0)[:, None], rows.embeddings[SITE * 0], rows.embeddings))
    order = decide(snapshot_of(rows, control_share=0.1))
    (inputs,) = load_inputs(order.order.inputs)
    places = ranked(inputs, Material(rows), N)
    assert inputs.followers.size > 20
    twins = [at for at, place in enumerate(places) if place.reason.startswith("near-duplicate")]
    assert sorted(place.task for place in places) == list(range(1, N + 1))
    assert min(twins) >= N - inputs.followers.size and places[-1].reason.startswith("near-duplicate")


def test_the_choice_of_a_field_makes_a_new_order():
    before = snapshot_of(pool(), balance="")
    live = replace(decide(before).order, number=1)
    decision = decide(replace(snapshot_of(pool()), live=live, state=before.state))
    assert (decision.due.action, decision.due.why) == ("new", "settings changed")
