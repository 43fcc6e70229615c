"""Where a campaign is kept: what changed, all of it or nothing."""

from dataclasses import replace

import numpy as np
import pytest

from labelqueue.learning.model import Model
from labelqueue.learning.predictions import Predictions
from labelqueue.ordering.campaign_state import CampaignState, Guess
from labelqueue.state.campaigns import load_campaign, predictions_of, save_campaign, save_summary, summary_of

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
    assert (names[0], names[-1]) == ("MULTI", "EXEC") and sorted(names[1:-1]) == ["HDEL", "HDEL", "HSET"]
    assert load_campaign(project).dump() == forgotten.dump()


def test_what_did_not_change_is_not_sent_again(project, sent):
    save_campaign(project, LEARNED, CampaignState())
    assert sent(LEARNED, LEARNED) == []
    guessed = replace(LEARNED, guesses=(Guess(3, "cat", 1, 2),))
    (written,) = [command for command in sent(guessed, LEARNED) if command[0] == "HSET"]
    assert written[2] == "facts" and not {"model", "outlook"} & set(written)
    assert load_campaign(project).dump() == guessed.dump()


def test_the_web_process_reads_model_predictions_and_summary(project):
    assert predictions_of(project) is None and summary_of(project) == {}
    save_campaign(project, LEARNED, CampaignState())
    save_summary(project, {"learning": {"labels": 2}})
    model, said = predictions_of(project)
    assert model.fingerprint == "f" and [said.decide(model, task) for task in (1, 2, 3)] == ["cat", "dog", None]
    assert summary_of(project) == {"learning": {"labels": 2}}
