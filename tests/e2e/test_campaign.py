"""A whole campaign on a real Label Studio: cold start, switch, BAL cycles, and what admins do to it."""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial

import pytest
from playwright.sync_api import expect

from labelqueue.admin import find_order, verify_order
from labelqueue.demo.drawing import CLASSES, draw_images
from labelqueue.settings import Deployment
from labelqueue.state import Project
from labelqueue.worker import Runtime

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CHOICES = "".join(f'<Choice value="{name}"/>' for name in CLASSES)
CONFIG = f'<View><Image name="image" value="$image"/><Choices name="choice" toName="image">{CHOICES}</Choices></View>'
N = 600
SECONDS = 120.0  # for what takes seconds, on a machine that has other things to do


def wait_for(backend, project, condition, what, seconds=SECONDS):
    """Wait until the project's status is as wished; return it."""
    deadline = time.monotonic() + seconds
    while True:
        now = backend.get(f"/projects/{project}")
        if condition(now):
            return now
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s: {now}"
        time.sleep(0.3)


def head(backend, project, limit=4):
    return [row["task"] for row in backend.get(f"/projects/{project}/order?limit={limit}")["tasks"]]


class Annotators:
    """Two people who know every answer and work side by side: both open a task, then both submit."""

    def __init__(self, backend, project, people, truth):
        self.backend, self.project, self.people, self.truth = backend, project, people, truth
        self.labeled: list[int] = []
        self.answer = lambda person, task, label: person.annotate(task, label)

    def queue(self) -> list[int]:
        """Return the head of the live order; the backend hears of the latest labels a little late."""
        return [task for task in head(self.backend, self.project, 30) if task not in self.labeled]

    def turn(self) -> None:
        """Label one task each; they must be the first two of the order that was live before or after they asked."""
        before = self.queue()
        served = [person.next(self.project)["id"] for person in self.people]
        deadline = time.monotonic() + 30
        while not self._fits(served, before, after := self.queue()):
            # Label Studio switches a moment before the backend has heard that it did.
            assert time.monotonic() < deadline, f"served {served}, the order was {before[:4]}, then {after[:4]}"
            time.sleep(0.2)
        for person, task in zip(self.people, served, strict=True):
            self.answer(person, task, self.truth[task])
            self.labeled.append(task)

    @staticmethod
    def _fits(served: list[int], *orders: list[int]) -> bool:
        """Tell whether each was served the first task that nobody had, by the order before or after a switch."""
        return all(
            task in [next(open_ for open_ in order if open_ not in served[:place]) for order in orders]
            for place, task in enumerate(served)
        )

    def label_until(self, condition, what, most=400):
        """Label until the status is as wished; return it."""
        for _ in range(most // len(self.people)):
            now = self.backend.get(f"/projects/{self.project}")
            if condition(now):
                return now
            self.turn()
        # The last labels may still be on their way to a worker.
        return wait_for(self.backend, self.project, condition, what)


def by_name(api, project, truth):
    """Return the class of each task, from the name of its file."""
    tasks = api.call("GET", f"/api/tasks?project={project}&page_size=10000&include=id,data")["tasks"]
    return {task["id"]: next(c for name, c in truth.items() if task["data"]["image"].endswith(name)) for task in tasks}


@pytest.fixture(scope="module")
def campaign(api, backend):
    """A project of 600 images whose first order is live, and its annotators."""
    images = list(draw_images(N))
    project = api.create_project("campaign", CONFIG)
    api.connect(project, backend.url, extra_params={"control_share": 0.1})
    api.import_images(project, [(image.name, image.data) for image in images])
    wait_for(backend, project, lambda now: now["covers"] == N and not now["pending"], "the first order", 300)
    truth = by_name(api, project, {image.name: image.label for image in images})
    return Annotators(backend, project, [api, api.sign_up("campaign@test.local")], truth)


def test_from_cold_start_through_the_switch_to_seven_bal_cycles(api, backend, campaign):
    start = backend.get(f"/projects/{campaign.project}")
    assert start["strategy"] == "FreeSel" and start["learning"]["phase"] == "cold"
    now = campaign.label_until(lambda now: now["strategy"] == "BAL", "the switch")
    assert now["learning"]["phase"] == "warm" and now["learning"]["reason"] == "20 labels and a model"
    assert now["version"].endswith("BAL cycle 1") and len(campaign.labeled) <= N // 2
    now = campaign.label_until(lambda now: now["version"].endswith("BAL cycle 7"), "six cycles more")
    remote = api.project(campaign.project)
    assert remote["model_version"] == now["version"] and remote["sampling"] == "Uncertainty sampling"
    assert len(campaign.labeled) == len(set(campaign.labeled))
    wait_for(backend, campaign.project, lambda now: now["labeled"] == len(campaign.labeled), "every label")


def test_a_retrain_is_live_within_seconds_of_its_trigger(backend, campaign):
    before = backend.get(f"/projects/{campaign.project}")
    now = campaign.label_until(lambda now: now["version"] != before["version"], "the next order")
    assert now["learning"]["trained_on"] > before["learning"]["trained_on"]


def test_every_order_is_audited(backend, campaign):
    orders = backend.get(f"/projects/{campaign.project}/orders")["orders"]
    assert [order["number"] for order in orders] == list(range(len(orders), 0, -1))
    live = backend.get(f"/projects/{campaign.project}/orders/{orders[0]['number']}")
    assert live["strategy"] == "BAL" and live["labels"] >= 40 and live["model"] and live["generation"]
    assert live["why"].startswith("trained on") and live["parameters"]["random_state"] == 0
    tasks = live["tasks"]
    assert [row["score"] for row in tasks] == sorted(row["score"] for row in tasks)
    assert any("from anything selected" in row["reason"] and "doubt counts in" in row["reason"] for row in tasks)
    assert any(row["control"] for row in tasks) and any(not row["control"] for row in tasks)


def test_every_order_comes_out_the_same_when_it_is_computed_again(backend, campaign):
    orders = backend.get(f"/projects/{campaign.project}/orders")["orders"]
    told = backend.command("orders", str(campaign.project), "--verify", "latest", "--json")
    assert told["version"] == orders[0]["version"] and told["outcome"] == "same", told
    runtime = Runtime(Deployment.from_environment(backend.environment))
    with closing(runtime.store) as store:
        project = next(one for one in Project.all(store) if one.ref.id == campaign.project)
        for order in orders:  # as the command does, without a process for each
            found = find_order(project, str(order["number"]))
            told = verify_order(project, found, partial(runtime.cache, project))
            assert (told["outcome"], told["compared"]) == ("same", order["published"]), told


def test_annotators_cannot_tell_a_control(api, backend, campaign):
    now = backend.get(f"/projects/{campaign.project}")
    live = backend.get(f"/projects/{campaign.project}/orders/{now['version'].split()[0][1:]}")
    control = next(row["task"] for row in live["tasks"] if row["control"])
    stored = api.predictions(control, now["version"])
    assert len(stored) == 1 and stored[0]["result"] == []
    assert "control" not in str(stored).lower()


def test_pre_labels_are_filled_in_in_the_browser(api, backend, campaign, browser):
    api.set_extra_params(campaign.project, {"control_share": 0.1, "prelabel": "on"})
    version = backend.get(f"/projects/{campaign.project}")["version"]
    now = wait_for(backend, campaign.project, lambda now: now["version"] != version, "an order with pre-labels")
    live = backend.get(f"/projects/{campaign.project}/orders/{now['version'].split()[0][1:]}")
    row = next(row for row in live["tasks"] if row["prelabel"] and row["task"] not in campaign.labeled)
    stored = api.predictions(row["task"], now["version"])[0]["result"]
    assert stored[0]["value"]["choices"] == [row["prelabel"]]
    page = browser.new_page()
    page.goto(f"{api.url}/projects/{campaign.project}/data?task={row['task']}")
    page.get_by_text("Submit").first.wait_for(timeout=60_000)
    chosen = page.locator(".lsf-choice__checkbox input:checked")
    expect(chosen).to_have_count(1, timeout=60_000)  # the editor draws its form more than once
    expect(chosen).to_have_attribute("name", row["prelabel"])
    page.close()


def test_start_training_from_label_studios_own_menu(api, backend, campaign, browser):
    before = backend.get(f"/projects/{campaign.project}")
    page = browser.new_page()
    page.goto(f"{api.url}/projects/{campaign.project}/settings/ml")
    page.get_by_label("Machine learning model options").click(timeout=60_000)
    page.get_by_text("Start Training", exact=True).first.click(timeout=60_000)
    page.get_by_role("button", name="Start Training").click(timeout=60_000)  # Label Studio asks whether one is sure
    now = wait_for(backend, campaign.project, lambda now: now["version"] != before["version"], "a new order")
    assert backend.get(f"/projects/{campaign.project}/orders/{now['version'].split()[0][1:]}")["why"]
    page.close()


def test_a_toggle_in_extra_params_changes_the_next_task(api, backend, campaign):
    before = backend.get(f"/projects/{campaign.project}")
    labeled = before["labeled"]
    api.set_extra_params(campaign.project, {"control_share": 0.1, "strategy": "random"})
    now = wait_for(backend, campaign.project, lambda now: now["strategy"] == "Random", "the random order")
    assert now["labeled"] == labeled and now["settings_from"]["strategy"]
    campaign.turn()
    api.set_extra_params(campaign.project, {"control_share": 0.1})
    wait_for(backend, campaign.project, lambda now: now["strategy"] == "BAL", "BAL again")


def test_a_rollback_restores_the_earlier_order_exactly(api, backend, campaign):
    orders = backend.get(f"/projects/{campaign.project}/orders")["orders"]
    chosen = next(order for order in orders if order["version"].endswith("BAL cycle 3"))
    backend.command("rollback", str(campaign.project), chosen["version"])
    wait_for(
        backend,
        campaign.project,
        lambda now: now["version"] == chosen["version"] and now["hold"],
        "the earlier order, held",
    )
    assert api.project(campaign.project)["model_version"] == chosen["version"]
    places = [row["task"] for row in backend.get(f"/projects/{campaign.project}/orders/{chosen['number']}")["tasks"]]
    left = [task for task in places if task not in campaign.labeled]
    assert head(backend, campaign.project, 1000)[: len(left)] == left
    campaign.turn()  # served strictly by the earlier order
    backend.command("retrain", str(campaign.project))
    wait_for(backend, campaign.project, lambda now: now["version"] != chosen["version"], "a new order after retrain")


def test_pause_gives_the_queue_back_and_resume_takes_it(api, backend, campaign):
    backend.command("pause", str(campaign.project))
    wait_for(backend, campaign.project, lambda now: now["paused"], "the pause")
    assert api.project(campaign.project)["sampling"] == "Sequential sampling"
    backend.command("resume", str(campaign.project))
    now = wait_for(backend, campaign.project, lambda now: not now["paused"], "the resumption")
    remote = api.project(campaign.project)
    assert remote["sampling"] == "Uncertainty sampling" and remote["model_version"] == now["version"]


def test_the_control_share_measures_the_model(backend, campaign):
    accuracy = backend.get(f"/projects/{campaign.project}")["accuracy"]
    assert accuracy["controls"] >= 2  # a tenth of the labels that came after the first model
    assert "control" in backend.command("status", str(campaign.project)).lower()


def test_it_is_told_how_good_the_model_will_be(backend, campaign):
    curve = backend.get(f"/projects/{campaign.project}")["learning_curve"]
    assert len(curve["steps"]) > 2 and curve["measurements"][0]["labels"] >= 40
    now, *later = curve["forecast"]["accuracy"]["bands"]
    assert 0 < now["low"] < now["middle"] < now["high"] <= 1 and later
    told = backend.command("status", str(campaign.project), "--target", "0.99")
    assert "forecast " in told and "99% " in told and "signs that more labels change little" in told


def test_deleting_annotations_untrains(api, backend, campaign):
    for task in campaign.labeled:
        for annotation in api.annotations(task):
            api.delete_annotation(annotation["id"])
    wait_for(backend, campaign.project, lambda now: now["learning"]["labels"] == 0, "no labels", 180)
    now = wait_for(backend, campaign.project, lambda now: now["strategy"] == "FreeSel", "the cold start")
    assert now["labeled"] == 0 and now["learning"]["trained_on"] == 0 and now["learning"]["phase"] == "cold"


REGIONS = {
    "detection": (
        "RectangleLabels",
        lambda: {"x": 10, "y": 10, "width": 30, "height": 30, "rotation": 0},
        "rectanglelabels",
    ),
    "polygons": ("PolygonLabels", lambda: {"points": [[10, 10], [50, 10], [50, 50]], "closed": True}, "polygonlabels"),
    "brushes": ("BrushLabels", lambda: {"format": "rle", "rle": [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]}, "brushlabels"),
    "multi-label": ("Choices", dict, "choices"),
}


@pytest.mark.parametrize("kind", REGIONS)
def test_other_kinds_of_labels_go_through_the_same_loop(api, backend, kind):
    tag, shape, key = REGIONS[kind]
    item = "Choice" if tag == "Choices" else "Label"
    names = ("disc", "square", "triangle")
    options = "".join(f'<{item} value="{name}"/>' for name in names)
    extra = ' choice="multiple"' if tag == "Choices" else ""
    control = f'<{tag} name="what" toName="image"{extra}>{options}</{tag}>'
    images = list(draw_images(70))
    project = api.create_project(kind, f'<View><Image name="image" value="$image"/>{control}</View>')
    # A small project: the model is trusted, rightly or not, so that the loop is gone through in a minute.
    params = {"switch_after": 20, "retrain_every": 10, "horizon": 10}
    api.connect(project, backend.url, extra_params=params)
    api.import_images(project, [(image.name, image.data) for image in images])
    wait_for(backend, project, lambda now: now["covers"] == 70 and not now["pending"], "the first order", 300)
    truth = by_name(api, project, {image.name: image.label for image in images})
    annotators = Annotators(backend, project, [api], truth)

    def answer(person, task, label):
        value = {**shape(), key: [label]}
        region = {"from_name": "what", "to_name": "image", "type": key, "value": value}
        if tag != "Choices":
            region |= {"original_width": 320, "original_height": 240, "image_rotation": 0}
        person.submit(task, [region] if label in names else [])

    annotators.answer = answer
    now = annotators.label_until(lambda now: now["learning"]["trained_on"] >= 20, "two trainings", most=40)
    assert now["learning"]["labels"] >= 20
    api.set_extra_params(project, {**params, "strategy": "bal"})
    now = wait_for(backend, project, lambda now: now["strategy"] == "BAL", "BAL")
    before = now["version"]
    annotators.label_until(lambda now: now["version"] != before, "the next cycle", most=24)
    live = backend.get(f"/projects/{project}/orders/{now['version'].split()[0][1:]}")
    assert any("doubt counts in" in row["reason"] for row in live["tasks"])
