"""Orders computed again from their record: the same to the bit, found out when it was changed, or said why not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from desk import Desk
from labelqueue import admin
from labelqueue.admin.status import project_status
from labelqueue.admin.verification import UNVERIFIABLE, verification_lines, verify_order
from labelqueue.block import Block, source_hash
from labelqueue.cli.parser import main
from labelqueue.ordering.inputs import load_inputs
from labelqueue.ordering.order import Order
from labelqueue.state.orders import Orders
from labelqueue.worker.runtime import Runtime

SETTINGS = {"switch_after": 20, "trials": 3, "horizon": 10, "control_share": 0.2}


@pytest.fixture
def desk(project, deployment, monkeypatch):
    monkeypatch.setattr("labelqueue.cli.commands.Deployment.from_environment", lambda: deployment)

    def build(n=300, **settings):
        project.put_settings(SETTINGS | settings, "test")
        desk = Desk(Runtime(deployment), project, n)
        desk.tend()
        return desk

    return build


def verify(desk, number="latest"):
    order = admin.find_order(desk.project, number)
    return verify_order(desk.project, order, lambda generation: desk.runtime.cache(desk.project, generation))


def outcomes(desk):
    return {order.number: verify(desk, order.number)["outcome"] for order in Orders(desk.project).all()}


CAMPAIGNS = {
    "auto": {},
    "known budget": {"budget": 120, "batch_size": 10},
    "paper": {"trials": 1, "metric": "cosine", "warm": "bal_paper", "budget": 120, "batch_size": 10, "prelabel": "off"},
    "margin": {"warm": "margin", "prelabel": "on"},
    "euclidean for ever": {"strategy": "freesel", "metric": "euclidean", "prelabel": "off"},
    "clustering": {"cold_start": "clustering", "warm": "entropy"},
}


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_every_order_of_a_campaign_comes_out_the_same_refills_included(desk, campaign):
    desk = desk(**CAMPAIGNS[campaign])
    desk.play(36, step=6)
    for task in (290, 291, 292):  # by hand, out of turn
        if not desk.server.rows[task]["annotations"]:
            desk.server.label(task, desk.truth[task])
    desk.play(44, step=11)
    found = outcomes(desk)
    assert set(found.values()) == {"same"} and len(found) == desk.live.number
    told = verify(desk)
    assert told["compared"] == told["published"] == len(desk.live.places)
    if campaign == "euclidean for ever":
        assert list(found) == [1] and len(desk.live.places) > 90, "all of it is one order and its refills"


def test_what_happens_later_changes_nothing(desk):
    desk = desk()
    desk.play(60, step=7)
    before = outcomes(desk)
    desk.server.label(desk.live.places[0].task, "dog")  # a label that was given otherwise at first
    del desk.server.rows[300]
    admin.change_settings(desk.project, {"seed": 9, "trials": 1}, "test")
    admin.reconcile(desk.project)
    desk.tend()
    # A new image arrives, and another one is replaced.
    cache = desk.runtime.cache(desk.project, desk.project.get("generation"))
    vectors = np.random.default_rng(1).normal(size=(2, 8)).astype(np.float16)
    sources = np.array([source_hash("other"), source_hash("u301")], np.uint64)
    cache.put(Block(np.array([5, 301]), sources, vectors, vectors, np.arange(3)))
    assert {number: outcome for number, outcome in outcomes(desk).items() if number in before} == before
    assert set(before.values()) == {"same"}


def test_near_duplicates_are_served_last_counted_and_verified(desk, monkeypatch):
    """Of four tasks in a row the last two look like the first two."""

    def filmed(ids, sources, rows, patterns, offsets):
        twin = np.arange(len(ids)) - 2 * (np.arange(len(ids)) % 4 > 1)
        hashes = np.random.default_rng(3).integers(1, 2**62, size=len(ids), dtype=np.uint64)
        return Block(ids, sources, rows[twin], rows[twin], offsets, hashes[twin])

    monkeypatch.setattr("desk.Block", filmed)
    desk = desk(n=60, control_share=0.0)
    assert project_status(desk.project)["duplicates"] == {"last": 30, "groups": 30}
    desk.play(30, step=5)
    labeled = [task for task, row in desk.server.rows.items() if row["annotations"]]
    assert len(labeled) == 30 and {task % 4 for task in labeled} == {1, 2}
    desk.tend()
    assert {place.reason for place in desk.live.places if place.task == 3} == {"near-duplicate of task 1"}
    desk.play(15, step=5)
    assert set(outcomes(desk).values()) == {"same"}


def test_an_order_that_is_published_again_is_the_one_it_was_and_goes_on_as_it(desk):
    desk = desk(prelabel="off")
    desk.play(60, step=7)
    first = Orders(desk.project).get(1)
    for rows in desk.server.imported:  # its predictions were tidied away
        rows[:] = [row for row in rows if row["model_version"] != first.version]
    admin.rollback(desk.project, 1)
    desk.tend()
    again = desk.live
    assert again.again == 1 and verify(desk)["outcome"] == "same"
    desk.play(45, step=9)
    assert desk.live.number == again.number and len(desk.live.places) > len(again.places), "refilled"
    assert verify(desk)["outcome"] == "same"


class TestTampering:
    @pytest.fixture
    def played(self, desk):
        desk = desk(prelabel="on")
        desk.play(60, step=10)
        return desk

    def rewrite(self, desk, **changes):
        desk.project.store.hset(
            desk.project.name("orders", "2"), str(desk.live.number), replace(desk.live, **changes, inputs=b"").dump()
        )

    def test_of_a_place_is_found(self, played):
        places = list(played.live.places)
        places[3], places[4] = places[4], places[3]
        self.rewrite(played, places=tuple(places))
        told = verify(played)
        assert told["outcome"] == "differs" and told["why"].startswith(f"place 4 is task {places[3].task} (")

    def test_of_a_pre_label_is_found(self, played):
        at = next(at for at, place in enumerate(played.live.places) if place.prelabel)
        places = list(played.live.places)
        places[at] = replace(places[at], prelabel="cat" if places[at].prelabel == "dog" else "dog")
        self.rewrite(played, places=tuple(places))
        assert verify(played)["outcome"] == "differs"

    def test_of_a_parameter_is_found(self, played):
        self.rewrite(played, parameters={**played.live.parameters, "balancing_factor": 0.123})
        assert verify(played)["why"] == "its parameters are recorded otherwise: balancing_factor"

    def test_of_the_model_is_found(self, played):
        orders = Orders(played.project)
        (inputs,) = load_inputs(orders.inputs(played.live.number))
        lesson = replace(inputs.lesson, digest="0" * 16)
        changed = replace(inputs, lesson=lesson).to_bytes()
        key, number = played.project.name("order_inputs"), str(played.live.number)
        played.project.store.hset(key, number, len(changed).to_bytes(4, "big") + changed)
        assert verify(played)["why"] == "its model, trained again on the same labels, is another one"


class TestCannot:
    """What is gone says nothing against an order, and the answer says what is gone."""

    def test_be_verified_from_before_inputs_were_recorded(self, desk):
        desk = desk()
        desk.project.store.delete(desk.project.name("order_inputs"))
        told = verify(desk)
        assert told["outcome"] == UNVERIFIABLE and "before inputs were recorded" in told["why"]
        desk.label(12)
        desk.tend()
        assert len(desk.live.places) > 30, "its refill is made all the same"
        assert "before inputs were recorded" in verify(desk, 1)["why"]

    def test_when_the_embeddings_are_gone(self, desk):
        desk = desk()
        desk.runtime.cache(desk.project, desk.project.get("generation")).delete()
        told = verify(desk)
        assert told["outcome"] == UNVERIFIABLE
        assert told["why"].endswith("are gone, or were stored anew") and desk.project.get("generation") in told["why"]

    def test_when_a_block_is_damaged(self, desk):
        desk = desk()
        key = desk.project.name("cache", desk.project.get("generation"), "blocks")
        (name,) = desk.project.store.hkeys(key)
        desk.project.store.hset(key, name, b"?")
        shutil.rmtree(desk.runtime.spool, ignore_errors=True)
        assert "does not match its checksum" in verify(desk)["why"]

    def test_when_a_model_was_trained_before_that(self, desk):
        desk = desk(warm="margin")
        desk.play(60, step=10)
        (inputs,) = load_inputs(Orders(desk.project).inputs(desk.live.number))
        stored = replace(inputs, lesson=replace(inputs.lesson, origin=None)).to_bytes()
        key = desk.project.name("order_inputs")
        desk.project.store.hset(key, str(desk.live.number), len(stored).to_bytes(4, "big") + stored)
        assert verify(desk)["why"] == "its model was trained before inputs were recorded"

    def test_when_the_record_is_damaged(self, desk):
        desk = desk()
        desk.project.store.hset(desk.project.name("order_inputs"), "1", b"\0\0\0\5abcde")
        assert "are damaged" in verify(desk)["why"]


def test_a_held_order_goes_on_by_its_own_ranking_and_then_by_the_present_one(desk):
    desk = desk(n=60, strategy="freesel", prelabel="off")
    desk.label(5)
    admin.change_settings(desk.project, {"seed": 8}, "test")
    desk.tend()
    admin.rollback(desk.project, 1)
    desk.tend()
    assert desk.live.number == 1
    while desk.live.number == 1 and len(desk.live.places) < 60:
        desk.label(9)
        desk.tend()
    assert verify(desk, 1)["outcome"] == "same" and len(desk.live.places) == 60
    n = len(desk.truth)
    desk.truth |= dict.fromkeys(range(n + 1, n + 11), "cat")
    desk.server.rows |= {task: desk.server._row(task, [], 99) for task in range(n + 1, n + 11)}
    desk.embed(8)
    desk.project.set(arrivals="70")
    desk.label(9)
    desk.tend()
    assert desk.live.number == 1 and len(desk.live.places) == 70, "tasks that came later are appended"
    told = verify(desk, 1)
    assert [part["from_place"] for part in told["parts"]] == [1, 61]
    assert told["outcome"] == "same" and told["compared"] == 70


class TestCommand:
    def test_says_the_outcome_by_words_and_exit_status(self, desk, capsys):
        desk = desk()
        assert main(["orders", "7", "--verify", "latest"]) == 0
        assert "r1·k7f FreeSel: same" in capsys.readouterr().out
        assert main(["orders", "7", "--verify", "r1·k7f FreeSel", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["outcome"] == "same"
        desk.project.store.delete(desk.project.name("order_inputs"))
        assert main(["orders", "7", "--verify", "1"]) == 3
        out = capsys.readouterr().out
        assert "cannot be verified" in out and "before inputs were recorded" in out

    def test_and_1_where_it_differs(self, desk, capsys):
        desk = desk()
        order = replace(desk.live, places=desk.live.places[::-1])
        desk.project.store.hset(desk.project.name("orders", "2"), "1", order.dump())
        assert main(["orders", "7", "--verify", "1"]) == 1
        assert "on record, and task" in capsys.readouterr().out

    def test_an_order_that_is_not_there_is_an_error(self, desk, capsys):
        desk()
        assert main(["orders", "7", "--verify", "9"]) == 1
        assert "has no order '9'" in capsys.readouterr().err


def test_lines_name_what_each_part_was_made_of(desk):
    desk = desk()
    lines = list(verification_lines(verify(desk)))
    assert lines[0] == "project 7: r1·k7f FreeSel: same"
    assert "from place 1" in lines[-1] and "300 embedded of 300 tasks" in lines[-1]


def test_a_record_keeps_what_was_left_out(desk):
    order = Order(3, "r3 BAL", left_out=((0, 7), (2, 9)), inputs=b"x")
    again = Order.load(order.dump())
    assert again.left_out == order.left_out and again.inputs == b""
