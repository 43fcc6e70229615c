"""Every storm of `make chaos` in its short form, on one scene; not how fast an acknowledgement is, which a busy machine
cannot say."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from chaos import report
from chaos.failures import mixed
from chaos.faults import FAULTS
from chaos.fuzz import fuzz
from chaos.judge import Judge, Verdict
from chaos.kills import kills
from chaos.load import day, slow
from chaos.odd_images import images, odd_images
from chaos.people import People
from chaos.scene import Scene, raised
from chaos.webhooks import webhooks

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

STORMS: dict[str, Callable[[Scene], Verdict]] = {
    "webhooks": lambda scene: webhooks(scene, rounds=3),
    "failures": lambda scene: mixed(scene, seconds=5),
    "fuzz": lambda scene: fuzz(scene, count=400),
    "slow": lambda scene: slow(scene, seconds=3),
    "images": lambda scene: images(scene, count=40),
    "day": lambda scene: day(scene, minutes=0.1),
    "kills": lambda scene: kills(scene, count=6, workers=2),
}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with raised(pool=16) as found:
        yield found


@pytest.mark.parametrize("name", STORMS)
def test_a_short_storm(scene, name):
    verdict = STORMS[name](scene)
    print(report.line(verdict))
    assert not verdict.over


def test_the_judge_sees_what_is_wrong(scene):
    """A label that nobody can know, a queue that somebody else serves, a prediction too many."""
    project = scene.project("judged")
    people = People(scene, project)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chaos.judge.PATIENCE", 0.0)
        with Judge(scene, project, "judged", [people]) as judge:
            (reader,) = scene.processes("tending")
            reader.suspend()
            people.act("label")
            live = scene.facts(project)["version"]
            task = scene.api.task_ids(project)[-1]
            prediction = {"task": task, "result": [], "score": 0.1}
            for version in (live, "somebody's"):
                scene.api.call("POST", "/api/predictions/", json=prediction | {"model_version": version})
            scene.api.update_project(project, model_version="somebody's")
        reader.resume()
    found = judge.verdict.figures
    assert (found["unknown"], found["twice"]) == (1, 1) and found["wrong"] >= 1
    assert len(judge.verdict.over) > 3


def test_the_tables_are_as_long_as_is_said():
    assert len(FAULTS) == 31
    odd = odd_images(200)
    assert len(odd) == 200 and len({name for name, *_ in odd}) > 150
    assert {wanted for *_, wanted in odd} == {True, False, None}
