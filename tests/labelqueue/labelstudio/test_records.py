"""The door for Label Studio's JSON: whatever it says, rows of known shape come out, and names of what was left out."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.exceptions import LabelStudioError
from labelqueue.labels.annotations import read_annotation
from labelqueue.labels.task_data import image_uri
from labelqueue.labelstudio.client import ANNOTATION_FIELDS, LabelStudio
from labelqueue.labelstudio.records import Skipped, parsed, predictions_in
from labelqueue.reading.pages import FIELDS

WHEN = "2026-11-21T10:00:00Z"
KEYS = (
    *FIELDS,
    *ANNOTATION_FIELDS,
    "annotations",
    "tasks",
    "total",
    "url",
    "headers",
    "title",
    "model_version",
    "created",
)
# What is nearly right goes deeper than what is wrong at once.
LEAF = st.none() | st.booleans() | st.integers(-1, 2**70) | st.floats() | st.text(max_size=4) | st.just(WHEN)
JSON = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner),
    max_leaves=12,
)
ANNOTATION = st.fixed_dictionaries({}, optional=dict.fromkeys(ANNOTATION_FIELDS, JSON) | {"updated_at": st.just(WHEN)})
TASK = st.fixed_dictionaries(
    {"id": st.integers(0, 99) | JSON},
    optional=dict.fromkeys(FIELDS[1:], JSON)
    | {"updated_at": st.just(WHEN) | JSON, "annotations": st.lists(ANNOTATION | JSON, max_size=3) | JSON},
)
PAGE = st.fixed_dictionaries({"tasks": st.lists(TASK | JSON, max_size=4)}, optional={"total": st.integers(0, 9) | JSON})
LIST = st.lists(
    st.fixed_dictionaries({"id": st.integers(0, 9)}, optional=dict.fromkeys(("url", "headers", "title", "data"), JSON))
    | JSON,
    max_size=4,
)


class Saying(LabelStudio):
    """A client whose server says the same whatever it is asked, and has one page."""

    def __init__(self, answer):
        super().__init__("http://label-studio.test", "0" * 40)
        self._answer = answer

        def said(method, path, **options):
            if "page=2" in path:
                raise LabelStudioError("no such page", status=404)
            return parsed(json.dumps(answer).encode())

        self._json = said


def made(call):
    """Return what a call returns; of the errors there are, only ours."""
    try:
        return call()
    except LabelStudioError as error:
        assert str(error)
        return None


@given(PAGE | JSON)
def test_tasks_and_annotations_of_any_shape(answer):
    client, skipped, silent = Saying(answer), Skipped(), Skipped()
    entries = answer["tasks"] if isinstance(answer, dict) and isinstance(answer.get("tasks"), list) else []
    rows = made(lambda: list(client.tasks(1, fields=FIELDS, skipped=skipped)))
    for row in rows or ():
        assert set(row) == set(FIELDS) and all(type(row[name]) is int for name in FIELDS if name.startswith("total"))
        assert type(row["id"]) is int and 0 <= row["id"] < 2**63 and type(row["is_labeled"]) is bool
        assert datetime.fromisoformat(row["updated_at"]) > datetime.fromisoformat("1970-01-01T00:00:00Z")
        image_uri(row["data"], "image").encode()
    assert rows is None or len(rows) == len(entries) or skipped.found
    for batch in made(lambda: list(client.annotated(1, [1], FIELDS, skipped=silent))) or ():
        for row in batch:
            said = [read_annotation(one) for one in row["annotations"]]
            assert all(type(one["completed_by"]) in (int, type(None)) for one in row["annotations"])
            json.dumps([one.dump() for one in said])
            raw = next(entry for entry in entries if isinstance(entry, dict) and entry.get("id") == row["id"])
            told = raw.get("annotations")
            left = f"annotations of task {row['id']}" in silent.found
            assert left or len(said) == len(told)
    assert all(isinstance(one, int) for one in made(lambda: client.existing(1, [1])) or ())
    "".join([*skipped.found, *silent.found]).encode()


@given(LIST | JSON)
def test_lists_of_any_shape(answer):
    client = Saying(answer)
    for call, what in (
        (client.ml_backends, "ML backend"),
        (lambda one, skipped: client.secure_webhooks(one, "u", {"X": "1"}, skipped=skipped), "webhook"),
        (lambda one, skipped: client.save_tab(one, "t", {}, skipped=skipped), "tab"),
    ):
        skipped = Skipped()
        found = made(lambda call=call, skipped=skipped: call(1, skipped=skipped))
        assert all(name.startswith(what) for name in skipped.found)
        if isinstance(found, list):
            assert len(found) == len(answer) or skipped.found
            assert all(type(one["id"]) is int and type(one["url"]) is str for one in found)
    for version in made(lambda: client.prediction_counts(1)) or ():
        version.encode()


@given(JSON)
def test_single_answers_of_any_shape(answer):
    client = Saying(answer)
    for call in (lambda: client.project(1), lambda: client.update_project(1, title="x"), client.whoami):
        assert isinstance(made(call), dict | None)
    assert type(made(lambda: client.import_predictions(1, []))) in (int, type(None))


def test_each_record_that_is_left_out_has_its_name_and_reason():
    said = [{"id": 5, "updated_at": WHEN, "result": []}, None, {"id": 6, "result": []}, {"updated_at": WHEN}]
    rows = [
        {"id": 1, "updated_at": WHEN, "data": "none", "annotations": said},
        None,
        {"updated_at": WHEN},
        {"id": 4, "updated_at": "yesterday"},
        {"id": True, "updated_at": WHEN},
        {"id": 2**63, "updated_at": WHEN},
        {"id": 7, "updated_at": "2026-11-21T10:00:00"},
        {"id": 8, "updated_at": "9999-12-31T23:59:59-01:00"},
    ]
    client, skipped, silent = Saying({"tasks": rows, "total": len(rows)}), Skipped(), Skipped()
    (row,) = client.tasks(1, fields=("id", "updated_at", "data"), skipped=skipped)
    assert row == {"id": 1, "updated_at": WHEN, "data": "none"}
    assert skipped.found == {
        "task at place 2": "no object",
        "task at place 3": "no id",
        "task 4": "no updated_at",
        "task at place 5": "no id",
        "task at place 6": "no id",
        "task 7": "no updated_at",
        "task 8": "no updated_at",
    }
    ((row,),) = Saying({"tasks": rows[:1]}).annotated(1, [1], (), skipped=silent)
    assert [one["id"] for one in row["annotations"]] == [5]
    assert silent.found == {
        "annotations of task 1": "annotation at place 2: no object; annotation 6: no updated_at; "
        "annotation at place 4: no id"
    }


@pytest.mark.parametrize("odd", [None, True, "4", -1.0, 1e300, float("nan"), float("inf"), [], {}])
def test_a_time_that_is_none_costs_nothing(odd):
    """Nothing depends on when an annotation was made, nor on how long that took."""
    said = {"id": 5, "updated_at": WHEN, "result": [], "created_at": WHEN, "lead_time": 4.26}
    for change in ({}, {"lead_time": odd}, {"created_at": odd}):
        skipped, row = Skipped(), {"id": 1, "updated_at": WHEN, "annotations": [said | change]}
        client = Saying({})
        client._json = lambda *arguments, row=row, **options: {"tasks": [row], "total": 1}
        (((task),),) = client.annotated(1, [1], (), skipped=skipped)
        (one,) = task["annotations"]
        assert ("lead_time" in one, "created_at" in one) == ("lead_time" not in change, "created_at" not in change)
        assert one.get("lead_time", 4.3) == 4.3 and read_annotation(one).id == 5 and not skipped.found


def test_half_a_character_is_replaced():
    assert parsed(b'{"\\ud800": ["a\\uDC00", "\\ud83d\\ude00", 1]}') == {
        "\N{REPLACEMENT CHARACTER}": ["a\N{REPLACEMENT CHARACTER}", "\N{GRINNING FACE}", 1]
    }


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe\xfd", b"<html>", b"9" * 5000])
def test_what_is_no_json_is_a_value_error(content):
    with pytest.raises(ValueError, match=r"nests|Expecting|codec|digits"):
        parsed(content)


def test_predictions_of_a_version_are_read_from_what_tasks_say_and_the_rest_is_passed_over():
    mine = {"id": 5, "model_version": "r1", "score": 0.25}
    rows = [
        {"id": 1, "predictions": [mine, {"id": 6, "model_version": "r2", "score": 0.5}, None, {"model_version": "r1"}]},
        {"id": 2, "predictions": [{**mine, "id": 7, "score": None}]},
        {"id": "3", "predictions": [mine]}, {"id": 4}, {"id": 4, "predictions": 1}, None,
    ]  # fmt: skip
    assert predictions_in(rows, "r1") == [(1, 5, 0.25), (2, 7, None)]
