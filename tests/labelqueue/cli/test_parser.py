"""The command line of a project: what it prints, its JSON, its exit status, and that it does what REST does."""

import io
import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from labelqueue.cli import parser as cli
from labelqueue.labels.annotations import UNLABELED
from labelqueue.ordering.order import Order, Place
from labelqueue.settings import Deployment
from labelqueue.state.campaigns import save_summary
from labelqueue.state.orders import Orders
from labelqueue.state.task_row import TaskRow
from labelqueue.stopping.curve import Measurement


@pytest.fixture
def run(deployment, project, monkeypatch, capsys):
    """Run a command and return its exit status, standard output and standard error."""
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in (1, 2)})
    for number, name in ((1, "FreeSel"), (2, "BAL")):
        order = Order(
            number=number, version=f"r{number} {name}", strategy=name, parameters={"seed": 0}, generation="g",
            arrivals=2, labeled=0, embedded=2, created_at=1_800_000_000.0,
            places=(Place(number, f"covers {number}"), Place(3 - number, "random control", control=True)),
            why="first order",
        )  # fmt: skip
        Orders(project).save(order)
        Orders(project).go_live(order)
    monkeypatch.setattr(Deployment, "from_environment", classmethod(lambda cls: deployment))

    def once(*arguments):
        try:
            status = cli.main(arguments)
        except SystemExit as exit:
            status = exit.code
        return status, *capsys.readouterr()

    return once


def test_set_changes_resets_and_shows_where_settings_come_from(run, project):
    project.take_extra_params({"horizon": 20})
    status, out, _ = run("set", "7", "seed=4", "strategy=random", 'target="choice"')
    assert status == 0 and "seed, strategy, target taken over" in out
    assert project.settings() | {"seed": 4, "strategy": "random", "target": "choice"} == project.settings()
    assert "horizon                20           extra params, 20" in out and "command line, 20" in out
    assert "every value is as it was" in run("set", "7", "seed=4")[1]
    status, out, _ = run("set", "7", "seed=", "--json")
    rows = json.loads(out)["settings"]
    assert (rows["seed"]["value"], rows["seed"]["source"]) == (0, "default")
    assert run("set", "7")[1].startswith("project 7:\n  strategy"), "without changes it only shows"
    assert "setting        horizon = 20 (from extra params, 20" in run("status", "7")[1]


def test_status_says_how_many_labels_a_share_takes(run, project):
    measured = Measurement(200, 5000, 0.8, 0.7, 0.03, 0.04, 0.66, 0.61, 0.0)
    curve = {
        "waits_for": "",
        "several": False,
        "measurements": [measured.dump()],
        "steps": [],
        "hints": [],
        "controls": [],
    }
    save_summary(project, {"learning_curve": curve})
    assert "; 90% " in run("status", "7")[1] and "85% needs about" in run("status", "7", "--target", "0.85")[1]
    code, out, err = run("status", "7", "--target", "85")
    assert (code, out) == (1, "") and "target is '85'; expected a share above 0 and below 1" in err


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ("trials=0", 1, "from 1 to 10000"),
        ("sead=1", 1, "known are strategy"),
        ("seed", 2, "not key=value"),
        ("=1", 2, "key="),
    ],
)
def test_a_wrong_change_is_an_error_that_names_the_way_out(run, project, change, status, word):
    code, out, err = run("set", "7", change)
    assert (code, out) == (status, "") and word in err
    assert project.setting_choices() == {}


@pytest.mark.parametrize(
    ("arguments", "fact", "value", "word"),
    [
        (["rollback", "7"], "rollback_wanted", "1", "'r1 FreeSel' is live again"),
        (["rollback", "7", "r1"], "rollback_wanted", "1", "is kept until `labelqueue retrain 7`"),
        (["rollback", "7", "r2 BAL"], "rollback_wanted", "2", "it is the newest, and new orders follow"),
        (["resume", "7"], "resume_wanted", "1", "taken over again"),
        (["retrain", "7"], "retrain_wanted", None, "new order follows"),
        (["reconcile", "7"], "want_full", "1", "read again"),
    ],
)
def test_switches_write_a_wish_and_say_how_soon(run, project, store, arguments, fact, value, word):
    status, out, _ = run(*arguments)
    assert status == 0 and word in out and "as soon as a worker runs" in out
    assert (project.get(fact) == value if value else project.get(fact)) and store.llen("rq:queue:tend") == 1


def test_pause_says_how_to_go_on(run, project):
    project.set(sampling_before="Uniform sampling")
    assert "goes back to 'Uniform sampling'" in run("pause", "7")[1]
    assert project.get("pause_wanted")
    project.set(rollback_error="predictions were deleted")
    assert "rollback_error predictions were deleted" in run("status", "7")[1]


def test_tasks_are_pinned_left_out_and_changed_back(run, store):
    status, out, _ = run("pin", "7", "2", "1")
    assert status == 0 and "2 tasks are pinned" in out and "`labelqueue undo 7 1` takes it back" in out
    assert run("exclude", "7", "1", "--reason", "too dark")[0] == 0 and store.llen("rq:queue:tend") == 1
    assert "too dark; act 2, command line" in run("curation", "7")[1]
    assert json.loads(run("undo", "7", "2", "--json")[1])["changed"] == 1
    assert [row["task"] for row in json.loads(run("curation", "7", "--json")[1])["pins"]] == [1, 2]
    assert run("unpin", "7", "1")[0] == 0 and "nothing changed" in run("include", "7", "1")[1]
    assert run("exclude", "7", "1")[0] == 2 and run("pin", "7")[0] == 2
    assert "has no task 9" in run("pin", "7", "1", "9")[2] and run("pin", "7", "9")[0] == 1


def test_orders_and_their_audit(run):
    status, out, _ = run("orders", "7")
    assert status == 0 and out.index("r2 BAL") < out.index("live") < out.index("first order") < out.index("r1 FreeSel")
    assert "2  task 1        random control\n" in run("order", "7")[1]
    assert [row["number"] for row in json.loads(run("orders", "7", "--json")[1])["orders"]] == [2, 1]
    assert run("order", "7", "--limit", "1")[1] == "project 7: r2 BAL\n    1  task 2        covers 2\n"
    for name in ("1", "r1 FreeSel"):
        out = run("order", "7", "--version", name)[1]
        assert "r1 FreeSel\n" in out and 'parameters     {"seed": 0}' in out and "1  task 1        covers 1" in out
    assert json.loads(run("order", "7", "--version", "2", "--json")[1])["live"] is True
    code, out, err = run("order", "7", "--version", "9")
    assert (code, out) == (1, "") and "there are 'r2 BAL', 'r1 FreeSel'" in err


def test_an_unknown_project_is_an_error_that_lists_those_there_are(run):
    for command in ("status", "order", "orders", "pause", "resume", "rollback", "retrain", "reconcile", "set"):
        code, out, err = run(command, "8")
        assert (code, out) == (1, "") and "known: 7" in err


def test_a_server_under_another_address_is_named(run, monkeypatch, deployment):
    other = replace(deployment, label_studio_url="http://elsewhere:8080")
    monkeypatch.setattr(Deployment, "from_environment", classmethod(lambda cls: other))
    code, _, err = run("status", "7")
    assert code == 1 and f"set LABEL_STUDIO_URL to the one meant: {deployment.label_studio_url}" in err


@pytest.mark.parametrize("command", ["set", "pause", "resume", "rollback", "retrain", "orders", "order", "status"])
def test_help_helps(run, command):
    status, out, _ = run(command, "--help")
    assert status == 0 and "PROJECT" in out and len(out.splitlines()) > 6


class Terminal:
    """Somebody who answers."""

    def __init__(self, answer):
        self.readline = lambda: answer

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("answer", "gone"), [("y\n", True), ("yes\n", True), ("\n", False), ("", False), ("n\n", False)]
)
def test_forget_says_what_goes_and_asks(run, project, store, monkeypatch, answer, gone):
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    status, out, _ = run("forget", "7")
    assert status == 0 and "the record of 2 orders" in out and "Remove all of this? [y/N]" in out
    assert ("is forgotten" in out, "nothing was removed" in out) == (gone, not gone)
    assert bool(store.exists(project.name("info"))) != gone


def test_forget_without_anybody_to_ask_needs_yes(run, project, store, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y"))
    status, _, err = run("forget", "7")
    assert status == 1 and "add --yes" in err and store.exists(project.name("info"))
    project.set(set_aside="1800000000", denied_since="1799900000")
    status, out, _ = run("forget", "7", "--yes")
    assert status == 0 and "is forgotten" in out and "Remove" not in out and not store.exists(project.name("info"))
    assert run("forget", "7", "--yes")[0] == 1


def test_status_lists_the_projects_there_are_and_says_until_when_one_is_set_aside(run, project, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    assert "     7  animals                  r2 BAL" in run("status")[1]
    project.set(set_aside="1800000000", denied_since="1799900000")
    for arguments in (["status"], ["status", "7"]):
        out = run(*arguments)[1]
        assert "deleted in Label Studio, seen first 2027-01-1" in out and "kept until 2027-01-22" in out
    rows = json.loads(run("status", "--json")[1])
    assert [row["project"] for row in rows] == [7] and rows[0]["set_aside"]
    project.forget()
    assert "no project is known here" in run("status")[1]


def test_status_tells_of_a_webhook_that_was_off_and_of_parts_made_anew(run, project):
    assert not {"webhook", "remade"} & {line.split()[0] for line in run("status", "7")[1].splitlines()}
    project.set(webhook_revived="3", webhook_revived_at="1800000000")
    project.set(remade=json.dumps({"anew": ["labels", "orders"], "kept": ["settings"], "at": time.time()}))
    out = run("status", "7")[1]
    assert "switched on again, 3 times, last 2027-01-1" in out
    assert "labels, orders made anew; settings read as far as they are known here: another version wrote them" in out
    project.set(remade=json.dumps({"anew": ["labels"], "at": time.time() - 8 * 24 * 3600}))
    assert "made anew" not in run("status", "7")[1]


def test_an_interrupted_process_ends_whatever_its_threads_wait_for():
    code = (
        "import threading\nfrom labelqueue.cli import parser\n"
        "parser.PATIENCE, parser.main = 0.2, lambda: parser.INTERRUPTED\n"
        "threading.Thread(target=threading.Event().wait).start()\nparser.program()"
    )
    path = os.pathsep.join(part for part in sys.path if part)
    ended = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, timeout=120)
    assert ended.returncode == 130
