"""What the command line prints of a project's status."""

from dataclasses import replace

import pytest

from labelqueue.admin.lines import clock
from labelqueue.admin.status import project_status, status_lines
from labelqueue.jobs import EmbedderChoice, living, servers, shards
from labelqueue.state import TaskRow
from redis_spy import counted

LEARNING = {
    "phase": "warm",
    "reason": "20 labels and a model",
    "waits_for": [],
    "labels_per_class": {"cat": 12, "dog": 13},
    "labels": 25,
    "model": "f",
    "trained_on": 20,
    "trust": 0.5,
    "prelabels": False,
    "retrain_every": 10,
    "unlearned": 5,
    "dropped_labels": {},
}
STATUS = {
    "project": 7,
    "title": "pets",
    "version": "r2 BAL cycle 1",
    "published": 100,
    "tasks": 200,
    "labeled": 25,
    "skipped": 0,
    "embedded": 200,
    "pending": 0,
    "quarantined": 0,
    "learning": LEARNING,
    "accuracy": None,
    "workers": 2,
    "workers_by_kind": {"tending": 1, "embedding": 1},
    "workers_by_machine": {"here": {"tending": 1, "embedding": 1}},
    "slow_servers": {},
    "annotators": 1,
    "redis": [],
    "settings": {},
    "settings_from": {},
    "paused": "",
    "hold": "",
    "error": "",
    "settings_error": "",
    "rollback_error": "",
    "refused_prelabels": {"count": 0, "first": []},
    "unreadable": {"count": 0, "first": []},
    "bad_images": {},
}


def told(**change) -> str:
    return "\n".join(status_lines({**STATUS, **change}))


def test_nothing_is_said_of_what_is_in_order():
    assert not any(word in told() for word in ("give none", "hold", "paused", "error"))
    assert "warm (since 20 labels and a model)" in told() and "next after 5 more labels" in told()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labeled": 27}, "2 labeled tasks give none: their image is not embedded"),
        (
            {"labeled": 28, "learning": STATUS["learning"] | {"without_label": {"people disagree": 3}}},
            "3 labeled tasks give none: people disagree",
        ),
        ({"hold": "'r1' was chosen by a rollback"}, "'r1' was chosen by a rollback; `labelqueue resume 7` ends this"),
        ({"paused": "by an admin"}, "paused         by an admin"),
        (
            {"unreadable": {"count": 7, "first": ["task 12: no updated_at"]}},
            "7 records in Label Studio cannot be read and are left out\n                 task 12: no updated_at",
        ),
        (
            {"refused_prelabels": {"count": 2, "first": ["task 3: why not"]}},
            "pre-labels     2 tasks of the order go without one that Label Studio refuses\n                 task 3",
        ),
        (
            {"workers_by_machine": {"a": {"tending": 1}, "b": {"embedding": 2, "tending": 1}}},
            "annotators within the hour 1\n                 a: 1 tending\n                 b: 2 embedding, 1 tending",
        ),
        ({"workers": 3}, "workers        3 (1 tending, 1 embedding), annotators"),
        (
            {"workers": 1, "workers_by_kind": {"tending": 0, "embedding": 1}},
            "labels wait: no tending worker runs; start",
        ),
        ({"workers": 1, "workers_by_kind": {"tending": 1, "embedding": 0}}, "images wait: no embedding worker runs"),
        (
            {"slow_servers": {"pics.example:443": {"until": 0.0, "why": "it took too long"}}},
            f"slow server    pics.example:443 is left alone until {clock(0.0)}: it took too long",
        ),
        (
            {"redis": [{"check": "persistence", "state": "well", "told": "append-only file", "way_out": ""}]},
            "redis          persistence: append-only file",
        ),
        (
            {"redis": [{"check": "writes", "state": "wrong", "told": "nothing is taken", "way_out": "make room"}]},
            "redis          writes: nothing is taken; make room",
        ),
        (
            {
                "learning_curve": {
                    "lines": ["right: 80%", "from 60 labels"],
                    "hint_lines": ["1 of 3 signs", "no change: yes"],
                }
            },
            "forecast       right: 80%\n                 from 60 labels\n  stop hints     1 of 3 signs\n"
            "                 no change: yes",
        ),
        ({"rollback_error": "order 3 is gone"}, "rollback_error order 3 is gone"),
        ({"learning": LEARNING | {"sub_pool": 0.75}}, "doubt counts in 75% of the pool; more trust widens that\n"),
        ({"learning": LEARNING | {"sub_pool": 1.0}}, "doubt counts everywhere\n"),
        ({"learning": None}, "embedded       200, 0 waiting, 0 bad images\n  workers"),
    ],
)
def test_what_people_must_know_is_said(change, words):
    assert words in told(**change)


def test_it_counts_workers_by_kind_and_names_slow_servers_with_their_images(project, store):
    for name in ("tending-a-1-x", "embedding-a-2-x", "embedding-b-2-x", "of-the-version-before-3-x"):
        living.heartbeat(store, name)
    until = servers.cool_down(store, "pics.example:443", "silent")
    shards.wait_until(project, [1, 2, 3], until)
    told = project_status(project)
    assert told["workers"] == 4 and told["workers_by_kind"] == {"tending": 1, "embedding": 2}
    assert told["slow_servers"] == {"pics.example:443": {"until": until, "why": "silent"}} and told["pending"] == 3
    assert "wait: no" not in "\n".join(status_lines(told))


def test_near_duplicates_that_stand_last_are_counted():
    assert "duplicates" not in told(duplicates={"last": 0, "groups": 0})
    line = "30 near-duplicates of 10 images stand last in the order; duplicates=serve treats them like all"
    assert line in told(duplicates={"last": 30, "groups": 10})


class TestEmbedder:
    """Which embedder a project has, which one new projects get, and how to ask for another."""

    OURS, DEFAULT = EmbedderChoice("vit_small_patch16_224.dino", 224, "ab" * 32), EmbedderChoice("vit_new")

    def lines(self, project, **facts):
        for name, choice in facts.items():
            project.set(**{f"embedder{name}": choice.dump()})
        lines = list(status_lines(project_status(project)))
        at = next((n for n, line in enumerate(lines) if line.startswith("  embedder ")), None)
        return [] if at is None else [line.strip() for line in lines[at : at + 3]]

    def test_one_that_is_as_for_new_projects_is_named_alone(self, project):
        assert self.lines(project) == []
        plain = replace(self.OURS, image_size=None, weights="")
        first, second, *_ = self.lines(project, **{"": self.OURS, "_wanted": self.OURS, "_offered": plain})
        assert first == "embedder       vit_small_patch16_224.dino at 224 pixels" and "new projects" not in second

    def test_another_one_for_new_projects(self, project):
        _, second, *_ = self.lines(project, **{"": self.OURS, "_wanted": self.OURS, "_offered": self.DEFAULT})
        assert second.startswith("new projects get vit_new; `labelqueue set 7 embedder=vit_new` builds it here")

    def test_one_that_is_asked_for(self, project):
        _, second, third = self.lines(project, **{"": self.OURS, "_wanted": self.DEFAULT, "_offered": self.DEFAULT})
        assert second.startswith("asked for is vit_new: it serves once every image is embedded")
        assert "new projects" not in third

    def test_imported_vectors_and_the_tasks_that_lack_one(self, project):
        project.put_tasks({task: TaskRow(f"/{task}.jpg", "u") for task in (1, 2)})
        mine = EmbedderChoice("imported own", None, "ef" * 32, 1.0)
        first, _, third = self.lines(project, **{"": mine, "_wanted": mine, "_offered": self.DEFAULT})
        assert first == "embedder       imported own"
        assert third == "2 tasks have no vector; your own model gives them: `labelqueue embeddings import 7 FILE`"


def test_of_very_many_bad_images_a_few_are_told(project, monkeypatch):
    monkeypatch.setattr("labelqueue.admin.status.GLANCED", 500)
    project.quarantine({task: (f"u{task}", "broken") for task in range(1, 3001)})
    with counted() as cost:
        told = project_status(project)
    assert told["quarantined"] == 3000 and len(told["bad_images"]) == 20 and cost.items < 2000
    assert set(told["bad_images"].values()) == {"broken"} and list(told["bad_images"]) == sorted(
        told["bad_images"], key=int
    )


def test_values_that_no_look_has_counted_yet_are_said_to_come(project):
    project.put_settings({"balance": "site"}, "test")
    project.set(balance_field="site", standing='{"balance": {"field": "camera", "values": 2, "largest": []}}')
    assert project_status(project)["balance"] == {
        "field": "site",
        "values": 0,
        "largest": [],
        "warning": "the next look counts the tasks' values of 'site'",
    }
