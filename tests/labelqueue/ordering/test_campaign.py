"""A campaign without Label Studio: it learns, switches, forgets, and never looks at a label before it guessed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from labelqueue.block import Block
from labelqueue.exceptions import SettingError
from labelqueue.labels.annotations import ANNOTATED, UNLABELED
from labelqueue.labels.label_config import parse_label_config
from labelqueue.ordering import recipe
from labelqueue.ordering.campaign import Campaign, share_of
from labelqueue.ordering.campaign_state import GUESSES, CampaignState, Cycle, Guess
from labelqueue.ordering.drafting import fit_geometry, inputs_of
from labelqueue.ordering.inputs import ranked
from labelqueue.ordering.order import Place
from labelqueue.ordering.snapshot import Features, Labels, Snapshot, Tasks
from labelqueue.settings import PROJECT
from poolselect import Random, default_clusters

CLASSES = ("cat", "dog", "owl")
CHOICES = "".join(f'<Choice value="{name}"/>' for name in CLASSES)
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image"{}>' + CHOICES + "</Choices></View>"
)
SINGLE = parse_label_config(CONFIG.format(""))
MULTI = parse_label_config(CONFIG.format(' choice="multiple"'))
DEFAULTS = {name: setting.default for name, setting in PROJECT.items()} | {"switch_after": 20}
N = 240


def world(n=N, seed=0):
    """Three clouds of images: the block, and the class of each task."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, size=n)
    rows = (np.eye(3, 8)[kinds] * 4 + rng.normal(size=(n, 8))).astype(np.float16)
    ids = np.arange(1, n + 1, dtype=np.int64)
    block = Block(ids, np.zeros(n, np.uint64), rows, rows, np.arange(n + 1, dtype=np.int64))
    return block, {int(task): CLASSES[kind] for task, kind in zip(ids, kinds, strict=True)}


class Player:
    """Plays a campaign: annotators who always know the answer."""

    def __init__(self, target=SINGLE, n=N, **settings):
        self.block, self.truth = world(n)
        if target.multi:
            self.truth = {task: (name,) if name != "owl" else () for task, name in self.truth.items()}
        self.campaign = Campaign(target, {**DEFAULTS, "trials": 5, **settings})
        self.labels = {}
        self.reasons = []
        self.places = []
        self.versions = 0

    def tasks(self):
        return Tasks.of({t: ANNOTATED if t in self.labels else UNLABELED for t in self.truth}, self.truth)

    def turn(self, **options):
        """Let the campaign look at the labels, and rank when it wants a new order."""
        options = {"generation": "g", **options}
        why = self.campaign.follow(lambda: self.block, self.labels, self.tasks(), places=self.places, **options)
        if why or not self.places:
            self.reasons.append(why)
            self.places = self.rank(90)
            self.versions += 1
            self.campaign.serving(f"r{self.versions}", self.places)
        return why

    def rank(self, size, *, campaign=None, features=None):
        """Return the next places."""
        campaign = campaign or self.campaign
        snapshot = Snapshot(
            campaign.target, campaign.settings, self.tasks(), Labels.of(self.labels), campaign.state, None, "g",
            lambda: self.block, None if features is None else lambda: features,
        )  # fmt: skip
        return ranked(*inputs_of(campaign, snapshot, snapshot.tasks, first=len(self.labels)), size)

    def play(self, labels):
        self.turn()
        while len(self.labels) < labels:
            task = next(place.task for place in self.places if place.task not in self.labels)
            self.labels[task] = self.truth[task]
            self.turn()
        return self


def test_it_starts_cold_switches_and_cycles():
    player = Player().play(19)
    assert player.campaign.state.course.phase == "cold" and player.campaign.recipe().title == "FreeSel"
    player.play(100)
    assert player.campaign.state.course.phase == "warm"
    assert player.campaign.state.trust > 0.5  # three clouds are easy
    titles = [reason for reason in player.reasons if reason.startswith("trained on")]
    assert len(titles) >= 4 and player.campaign.recipe().title == f"BAL cycle {len(titles) + 1}"
    assert player.campaign.recipe().parameters["model"] == player.campaign.state.model.fingerprint


def test_a_guess_is_made_before_the_label_is_learned_and_once():
    player = Player(prelabel="off").play(60)
    memory = player.campaign.state
    assert len({guess.task for guess in memory.guesses}) == len(memory.guesses)
    # The first model came with the tenth label; every later label was guessed by a model that did not know it.
    assert [guess.task for guess in memory.guesses] == list(player.labels)[10:]
    assert all(guess.labels <= place for place, guess in enumerate(memory.guesses, start=10))
    player.turn()
    assert player.campaign.state.guesses == memory.guesses


def test_the_model_keeps_how_well_its_predecessors_guessed():
    player = Player().play(60)
    guesses = player.campaign.state.guesses
    assert player.campaign.state.model.accuracy == player.campaign.trust(player.labels).balanced_accuracy
    assert sum(guess.predicted == player.labels[guess.task] for guess in guesses[-20:]) >= 12


def test_an_idle_turn_changes_nothing():
    player = Player().play(60)
    memory, recipe = player.campaign.state, player.campaign.recipe().parameters
    assert player.turn() == ""
    assert player.campaign.state.dump() == memory.dump() and player.campaign.recipe().parameters == recipe


def test_memory_comes_back_and_the_campaign_goes_on_where_it_stood():
    player = Player().play(60)
    again = Player()
    again.campaign.state = CampaignState.load(player.campaign.state.dump())
    again.labels, again.places, again.versions = dict(player.labels), player.places, player.versions
    assert again.campaign.state.dump() == player.campaign.state.dump()
    assert list(player.play(90).labels) == list(again.play(90).labels)
    assert CampaignState.load({}).dump() == CampaignState().dump()


def test_the_same_campaign_gives_the_same_order_whatever_the_calls_between():
    one, other = Player().play(80), Player()
    other.turn()
    while len(other.labels) < 80:
        task = next(place.task for place in other.places if place.task not in other.labels)
        other.labels[task] = other.truth[task]
        for _ in range(2):
            other.turn()
    assert list(one.labels) == list(other.labels)


def test_deleted_labels_are_unlearned_at_once():
    player = Player().play(60)
    gone = list(player.labels)[-3:]
    for task in gone:
        del player.labels[task]
    assert player.turn() == "trained on 57 labels"
    assert not set(gone) & set(player.campaign.state.trained_on)
    player.labels.clear()
    assert player.turn()
    memory = player.campaign.state
    assert (memory.model, memory.predictions, memory.course.phase) == (None, None, "cold")
    assert player.campaign.recipe().title == "FreeSel" and player.turn() == ""


def test_a_changed_label_counts_as_new():
    player = Player(retrain_every=3).play(60)
    before = player.campaign.state.model.fingerprint
    for task in list(player.labels)[:3]:
        player.labels[task] = next(name for name in CLASSES if name != player.labels[task])
    assert player.turn()
    assert player.campaign.state.model.fingerprint != before


def test_training_can_be_asked_for():
    player = Player().play(33)
    trainings = player.campaign.state.trainings
    assert player.turn(wanted=True) == "a new order was asked for"
    assert player.campaign.state.trainings == trainings + 1


def test_other_embeddings_or_classes_ask_for_another_model():
    player = Player().play(60)
    assert player.turn(generation="another") == "trained on 60 labels"
    assert player.campaign.state.generation == "another"


@pytest.mark.parametrize("name", ["margin", "least_confidence", "entropy", "bal"])
def test_a_pinned_strategy_that_needs_a_model_waits_for_it_in_the_cold_start(name):
    player = Player(strategy=name, cold_start="random")
    player.turn()
    assert player.campaign.recipe().name == "random"
    player.play(12)
    assert player.campaign.recipe().name == name
    assert player.reasons[1] == "trained on 10 labels"


def test_a_pinned_cold_strategy_keeps_its_order_whatever_is_learned():
    player = Player(strategy="random", prelabel="off").play(80)
    assert player.campaign.state.model is not None and player.campaign.state.course.phase == "warm"
    assert player.campaign.recipe().name == "random" and player.campaign.recipe().model == ""
    assert not any(reason.startswith("trained on") for reason in player.reasons)


def test_a_known_budget_goes_once_through_the_slots():
    player = Player(budget=120, batch_size=10)
    player.play(60)
    first = player.campaign.state.cycle
    player.play(120)
    last = player.campaign.state.cycle
    assert first.slots == last.slots is not None
    assert 0 <= first.number < last.number == last.slots - 1


def test_a_phase_that_begins_without_a_training_knows_budget_and_trust():
    player = Player(budget=120, batch_size=7, switch_after=100).play(60)
    before = player.campaign.state
    player.campaign.settings = player.campaign.settings | {"switch_after": 20}
    assert player.turn() == player.campaign.state.course.reason
    memory = player.campaign.state
    assert (memory.trainings, memory.course.phase) == (before.trainings, "warm")
    assert (memory.cycle.number, memory.cycle.size, memory.cycle.slots) == (0, 7, 9)
    assert memory.cycle.balancing_factor > 5


def test_a_guess_stays_until_the_model_learns_the_label():
    memory = CampaignState(trained_on={1: "cat"})
    guesses = [Guess(task, "cat", 1, 1) for task in range(1, GUESSES + 10)]
    kept = [guess.task for guess in memory.with_guesses(guesses).guesses]
    assert kept == list(range(1, GUESSES + 10))  # only one is learned, and one may stay
    learned = replace(memory, trained_on=dict.fromkeys(kept, "cat"))
    assert [guess.task for guess in learned.with_guesses(guesses).guesses] == kept[-GUESSES:]


def test_guesses_are_added_one_by_one_or_together(monkeypatch):
    monkeypatch.setattr("labelqueue.ordering.campaign_state.GUESSES", 5)
    rng = np.random.default_rng(0)
    guesses = [Guess(task, "cat", 1, 1, "r1" * (task % 7 == 0), blind=bool(rng.integers(2))) for task in range(60)]
    memory = CampaignState(trained_on=dict.fromkeys(range(40), "cat"), guesses=tuple(guesses[:40]))
    alone = memory
    for guess in guesses[40:]:
        alone = alone.with_guesses([guess])
    together = memory.with_guesses(guesses[40:])
    assert together.guesses == alone.guesses and len(together.guesses) < 40
    assert memory.with_guesses([]) is memory


def test_only_what_changed_is_written():
    player = Player().play(60)
    state = player.campaign.state
    whole = state.dump()
    assert state.geometry is not None and state.changes(CampaignState()) == (
        {name: whole[name] for name in ("facts", "model", "geometry")}, []
    )  # fmt: skip
    same = replace(state, heard=(*state.heard,), controls=dict(state.controls))
    assert same.changes(state) == ({}, [])
    more = replace(state, guesses=(*state.guesses, Guess(999, "cat", 1, 1)))
    assert more.changes(state) == ({"facts": more.dump()["facts"]}, [])
    changed, gone = state.forgetting().changes(state)
    assert (changed.keys(), gone) == ({"facts"}, ["model", "geometry"])
    assert state.serving("r9", [Place(1, "why")]).changes(state) == ({}, []), "no control is served or taken back"


def test_clusters_of_an_open_label_config_stay_while_the_pool_grows_a_little():
    open_config = CONFIG.replace('toName="image"{}', 'toName="image" value="$choices"')
    campaign = Campaign(parse_label_config(open_config), DEFAULTS)
    large, small = world(N + 40)[0], world(N + 40)[0].take(np.arange(N))
    assert fit_geometry(campaign, small, "g") == "first clusters"
    assert default_clusters(len(small), None) != default_clusters(len(large), None)
    assert fit_geometry(campaign, large, "g") == ""


def test_a_third_partys_strategy_may_hold_anything(monkeypatch):
    class Theirs(Random):
        def __init__(self, *, random_state=0):
            super().__init__(random_state=random_state)
            self.bounds, self.function, self._cache = (1, 2), len, np.zeros(3)

    monkeypatch.setattr(recipe, "_classes", lambda: {"theirs": Theirs})
    player = Player(strategy="theirs").play(12)
    parameters = player.campaign.recipe().parameters
    assert parameters["bounds"] == [1, 2] and "_cache" not in parameters
    assert json.loads(json.dumps(parameters)) == parameters  # else a new order would be due at every look
    with pytest.raises(SettingError, match="'gone' is not installed"):
        recipe.make_strategy("gone", DEFAULTS)


def test_strategies_know_the_classes_and_the_cycle():
    cover = recipe.make_strategy("probcover", DEFAULTS, classes=7)
    assert (cover.n_clusters, recipe.make_strategy("probcover", DEFAULTS).n_clusters) == (7, None)
    assert recipe.make_strategy("dropquery", DEFAULTS, Cycle(size=25)).n_clusters == 25
    names = ("maxherding", "probcover", "uherding", "dropquery", "badge", "bait")
    needing = [name for name in names if recipe.needs_model(name)]
    assert needing == ["uherding", "dropquery", "badge", "bait"]


def test_several_labels_go_through_the_same_course():
    player = Player(target=MULTI).play(90)
    assert player.campaign.state.course.phase == "warm"
    assert player.campaign.state.model.multi and player.campaign.recipe().name == "bal"


class TestPrelabels:
    def test_a_trusted_model_fills_answers_in_but_never_on_controls(self):
        player = Player(control_share=0.3).play(90)
        assert player.campaign.recipe().prelabel == 0.0
        controls = [place for place in player.places if place.control]
        filled_in = [place for place in player.places if place.prelabel is not None]
        assert controls and all(place.prelabel is None for place in controls)
        right = [place.prelabel == player.truth[place.task] for place in filled_in]
        assert len(filled_in) > 20 and np.mean(right) > 0.8

    def test_as_many_chosen_tasks_are_left_empty_so_that_no_empty_form_tells_a_control(self):
        player = Player(control_share=0.3, n=2000).play(60)
        places = player.rank(1500)
        empty = [place for place in places if place.prelabel is None]
        controls = sum(place.control for place in empty)
        assert 0.4 < controls / len(empty) < 0.65
        assert {place.reason for place in empty if not place.control} != {"random control"}

    def test_people_who_accept_whatever_is_filled_in_do_not_raise_trust(self):
        """Half of what the model fills in is wrong, and people submit it as it is; what they see empty they answer."""
        player = Player(prelabel="on", control_share=0.1, n=600).play(40)
        player.truth = {task: CLASSES[task % 3] for task in player.truth}  # from now on nothing can be learned
        for _ in range(200):
            place = next(place for place in player.places if place.task not in player.labels)
            player.labels[place.task] = place.prelabel or player.truth[place.task]
            player.turn()
        accepted = [guess for guess in player.campaign.state.guesses if not guess.blind]
        assert player.campaign.trust(player.labels).value < 0.4
        assert len(accepted) < 60, "what was learned from is not kept"

    def test_not_where_label_studio_hides_them(self):
        player = Player().play(90)
        hidden = Campaign(SINGLE, player.campaign.settings, player.campaign.state, prelabels=False)
        places = player.rank(50, campaign=hidden)
        assert {place.prelabel for place in places} == {None}
        assert hidden.recipe().parameters != player.campaign.recipe().parameters  # so that a new order is due


class TestControls:
    def test_a_control_that_a_later_order_chooses_is_none_any_more(self):
        player = Player(control_share=0.2).play(60)
        places = player.places
        control = next(place for place in places if place.control)
        assert player.campaign.state.controls[control.task] == f"r{player.versions}"
        player.campaign.serving("r99", [replace(control, control=False)])
        assert control.task not in player.campaign.state.controls

    def test_their_guesses_carry_the_order_that_served_them(self):
        player = Player(control_share=0.2).play(100)
        guesses = [guess for guess in player.campaign.state.guesses if guess.control]
        assert 8 <= len(guesses) <= 30
        assert all(guess.control.startswith("r") and guess.labels >= 10 for guess in guesses)


class TestRotationFeatures:
    def test_tasks_without_features_wait_behind(self):
        player = Player(bal_features="rotation").play(60)
        rng = np.random.default_rng(5)
        half = player.block.take(np.arange(0, N, 2))
        rows = rng.normal(size=(len(half.ids), 4)).astype(np.float16)
        features = Features("net", Block(half.ids, half.sources, rows, rows, half.offsets))
        places = player.rank(N, features=features)
        ranked = [place.task for place in places if "rotation" not in place.reason]
        assert {task % 2 for task in ranked} == {1} and len(places) == N - 60
        geometry = player.campaign.state.geometry
        assert (geometry.centroids.shape[2], geometry.source) == (4, "net")


@pytest.mark.parametrize(("labels", "share"), [(0, 10), (200, 10), (219, 10), (220, 11), (1000, 50)])
def test_a_cycle_is_a_twentieth_of_the_labels(labels, share):
    assert share_of(labels) == share
