"""Where a campaign is kept: what changed, all of it or nothing."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from labelqueue.exceptions import CacheError, PredictionsError, ReplacedError
from labelqueue.learning.model import Model
from labelqueue.learning.predictions import Predictions
from labelqueue.ordering.campaign_state import CampaignState, Guess
from labelqueue.state import campaigns
from labelqueue.state.campaigns import (
    load_campaign,
    predictions_of,
    rows_keys,
    save_campaign,
    save_summary,
    summary_of,
)
from redis_spy import counted

ONES = np.ones(2, np.float32)
MODEL = Model(("cat", "dog"), False, ONES, ONES, np.eye(2, dtype=np.float32), ONES, 1.0, 9, 9, "f")
SAID = Predictions(np.array([1, 2]), np.array([[0.75, 0.25], [0.25, 0.75]], np.float16))
LEARNED = CampaignState(trainings=1, trained_on={1: "cat", 2: "dog"}, model=MODEL, predictions=SAID)


@pytest.fixture
def sent(project, store):
    """Return the names and arguments of the commands that saving a state sends."""

    def save(state, before):
        with store.monitor() as monitor:
            save_campaign(project, state, before)
            store.echo("that was all")
            commands = []
            while not (command := monitor.next_command()["command"]).startswith("ECHO"):
                commands.append(command.split())
        connecting = ("HELLO", "CLIENT", "PING", "SELECT")  # what the client sends by itself
        return [command for command in commands if command[0] not in connecting]

    return save


def test_a_state_comes_back(project):
    assert load_campaign(project).dump() == CampaignState().dump()
    save_campaign(project, LEARNED, CampaignState())
    assert load_campaign(project).dump() == LEARNED.dump()


def test_a_reader_sees_all_of_a_change_or_nothing(project, sent):
    save_campaign(project, LEARNED, CampaignState())
    forgotten = replace(LEARNED, model=None, predictions=None, trained_on={})
    names = [command[0] for command in sent(forgotten, LEARNED)]
    assert names == ["WATCH", "HGET", "MULTI", "HSET", "HDEL", "UNLINK", "EXEC"]
    assert load_campaign(project).dump() == forgotten.dump()


def test_what_did_not_change_is_not_sent_again(project, sent):
    save_campaign(project, LEARNED, CampaignState())
    assert sent(LEARNED, LEARNED) == []
    guessed = replace(LEARNED, guesses=(Guess(3, "cat", 1, 2),))
    (written,) = [command for command in sent(guessed, LEARNED) if command[0] == "HSET"]
    assert written[2] == "facts" and not {"model", "said"} & set(written)
    assert load_campaign(project).dump() == guessed.dump()


def test_the_web_process_reads_model_predictions_and_summary(project):
    assert predictions_of(project) is None and summary_of(project) == {}
    save_campaign(project, LEARNED, CampaignState())
    save_summary(project, {"learning": {"labels": 2}})
    model, said = predictions_of(project)
    assert model.fingerprint == "f" and [said.decide(model, task) for task in (1, 2, 3)] == ["cat", "dog", None]
    assert summary_of(project) == {"learning": {"labels": 2}}


def many(n, step=3):
    """What the model says of `n` tasks whose ids have gaps."""
    share = (np.arange(n) % 100 / 100).astype(np.float16)
    return Predictions(np.arange(1, n + 1) * step, np.column_stack((share, 1 - share)))


class TestWhatTheModelSays:
    @pytest.fixture
    def rows(self, project):
        """Returns the keys of predictions that there are."""
        pattern = project.name("campaign", "3", "said", "*")
        return lambda: [key.decode() for key in project.store.scan_iter(pattern)]

    def test_a_few_tasks_are_read_without_the_others(self, project):
        read = []
        for n in (1_000, 50_000):
            save_campaign(project, replace(LEARNED, predictions=many(n)), CampaignState())
            with counted() as spent:
                _, found = predictions_of(project, [2700, 2701, 9, 2**62])
            assert found.lookup(2700).tolist() == many(900).probabilities[-1].tolist()
            assert found.lookup(9) is not None and found.lookup(2701) is None and found.lookup(2**62) is None
            read.append((spent.commands, spent.items, spent.received))
        assert read[0][:2] == read[1][:2] and read[0][2] == pytest.approx(read[1][2], abs=8)

    def test_a_look_reads_none_and_of_a_label_one_in_a_project_of_any_size(self, project):
        spent = []
        for n in (1_000, 20_000):
            save_campaign(project, replace(LEARNED, predictions=many(n)), CampaignState())
            with counted() as idle:
                state = load_campaign(project)
                assert len(state.predictions) == n
                save_campaign(project, state, state)
            with counted() as one:
                assert state.predictions.decide(MODEL, 2700) == "cat"
                save_campaign(project, replace(state, guesses=(Guess(2700, "cat", 1, 2),)), state)
            spent.append([(each.commands, each.items, each.sent, each.received) for each in (idle, one)])
        for small, large in zip(*spent, strict=True):
            assert small[:2] == large[:2] and small[2:] == pytest.approx(large[2:], abs=8), "of numbers in words"
        (commands, _, _, received), _ = spent[-1]
        assert commands == 2 and received < 5_000

    def test_everything_is_read_on_request(self, project):
        said = many(5_000, step=7)
        save_campaign(project, replace(LEARNED, predictions=said), CampaignState())
        stored = [load_campaign(project, whole=whole).predictions for whole in (True, False)]
        for found in (predictions_of(project)[1], *stored):
            assert found.ids.tolist() == said.ids.tolist() and found.to_bytes() == said.to_bytes()

    def test_a_training_replaces_them_and_nothing_stays_behind(self, project, rows):
        states = [CampaignState(), *(replace(LEARNED, predictions=many(n)) for n in (10, 1_000))]
        for before, state in pairwise(states):
            save_campaign(project, state, before)
            assert rows() == rows_keys(project) and project.store.ttl(rows()[0]) == -1
        save_campaign(project, CampaignState(), states[-1])
        assert rows() == rows_keys(project) == []

    def test_what_a_killed_worker_wrote_goes_by_itself(self, project, rows, monkeypatch):
        monkeypatch.setattr(type(project.store), "transaction", lambda *arguments: None)
        save_campaign(project, LEARNED, CampaignState())
        assert predictions_of(project) is None and 0 < project.store.ttl(rows()[0]) <= campaigns.WRITING

    @pytest.mark.parametrize("tasks", [None, [3, 60]])
    def test_a_reader_never_sees_half_of_two_models(self, project, monkeypatch, tasks):
        said = many(30)
        old = replace(LEARNED, predictions=said)
        new = replace(LEARNED, predictions=Predictions(said.ids, 1 - said.probabilities))
        save_campaign(project, old, CampaignState())
        name, calls = ("scan_fields" if tasks is None else "get_fields"), []
        read = getattr(campaigns, name)

        def late(*arguments, **options):
            calls.append(arguments)
            if len(calls) == 1:
                save_campaign(project, new, old)
            return read(*arguments, **options)

        monkeypatch.setattr(campaigns, name, late)
        _, found = predictions_of(project, tasks)
        assert len(calls) == 2
        for task in (3, 60):
            assert found.lookup(task).tolist() == new.predictions.lookup(task).tolist()

        def always_late(*arguments, **options):
            save_campaign(project, new, CampaignState())
            return read(*arguments, **options)

        monkeypatch.setattr(campaigns, name, always_late)
        with pytest.raises(CacheError, match="all the time"):
            predictions_of(project, tasks)

    def test_rows_that_are_lost_are_learned_again(self, project, caplog):
        save_campaign(project, LEARNED, CampaignState())
        project.store.delete(*rows_keys(project))
        state = load_campaign(project)
        assert (state.trainings, state.model, state.trained_on, state.heard) == (1, None, {}, (1, 2))
        assert "0 of 1 groups of rows are there" in caplog.text
        with pytest.raises(CacheError, match="train again"):
            predictions_of(project)
        assert predictions_of(project, [1])[1].lookup(1) is None, "of that task nothing is known"

    def test_groups_that_are_lost_are_noticed_before_anything_is_decided(self, project, caplog):
        save_campaign(project, replace(LEARNED, predictions=many(900)), CampaignState())
        project.store.hdel(rows_keys(project)[0], "3")
        assert load_campaign(project).model is None and "42 of 43 groups of rows are there" in caplog.text
        project.store.hdel(project.name("campaign", "3"), campaigns.GROUPS)  # as it was written before
        assert load_campaign(project).model is not None
        assert load_campaign(project, whole=True).model is None and "878 of 900 rows are there" in caplog.text

    def test_a_damaged_group_is_noticed_when_it_is_read(self, project, caplog):
        save_campaign(project, replace(LEARNED, predictions=many(900)), CampaignState())
        project.store.hset(rows_keys(project)[0], "3", b"damaged")
        state = load_campaign(project)
        assert state.predictions.decide(MODEL, 3) is not None
        with pytest.raises(PredictionsError, match="7 bytes of group 3 are damaged"):
            state.predictions.decide(MODEL, 3 * 64 + 3)
        assert load_campaign(project, whole=True).model is None and "trained anew" in caplog.text

    def test_who_reads_on_after_another_training_is_told(self, project):
        old = replace(LEARNED, predictions=many(900))
        save_campaign(project, old, CampaignState())
        before = load_campaign(project)
        assert before.predictions.decide(MODEL, 3) is not None
        save_campaign(project, replace(old, predictions=many(30)), old)
        assert before.predictions.decide(MODEL, 3) is not None, "that was read before"
        for read in (lambda: before.predictions.decide(MODEL, 6), lambda: before.predictions.ids):
            with pytest.raises(ReplacedError, match="project 7 says was replaced"):
                read()
        assert len(load_campaign(project).predictions.ids) == 30

    @pytest.mark.parametrize("name", [("campaign", "2"), ("campaign",)])
    def test_those_of_the_format_before_are_read_until_there_are_new_ones(self, project, store, name):
        key = project.name(*name)
        store.hset(key, mapping=LEARNED.dump())
        before = store.hgetall(key)
        for tasks in (None, [1]):
            model, said = predictions_of(project, tasks)
            assert said.decide(model, 1) == "cat"
        assert not rows_keys(project)
        assert load_campaign(project).dump() == LEARNED.dump() and rows_keys(project)
        assert store.hgetall(key) == before, "a worker of then finds its own"
        assert load_campaign(project).dump() == LEARNED.dump()
