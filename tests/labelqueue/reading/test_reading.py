"""Reading tasks and their labels from a Label Studio that is played by a table in memory."""

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from labelqueue.admin.status import project_status
from labelqueue.block import Block, source_hash
from labelqueue.exceptions import LabelStudioError
from labelqueue.labels.annotations import ANNOTATED, SKIPPED, UNLABELED
from labelqueue.labels.task_data import image_uri
from labelqueue.reading import pages, reading
from labelqueue.reading.reading import (
    FULL_AT_MOST_EVERY,
    FULL_EVERY,
    _misses,
    drop_deleted,
    read_project,
    unread,
    wants_full,
)
from labelqueue.replica.replica import Replica
from labelqueue.state.journal import Event
from labelqueue.state.label_book import FORMAT, LabelBook
from labelqueue.state.pattern_cache import PatternCache
from labelqueue.state.people import People
from labelqueue.state.task_row import TaskRow
from labelqueue.telemetry import COUNTERS

START = datetime(2026, 11, 21, 10, tzinfo=UTC)


class Table:
    """Tasks with annotations, a clock that a test turns, and the reading side of the client."""

    def __init__(self, *tasks):
        self.now, self.rows, self.read, self._ids = START, {}, [], 0
        self.odd, self.silent = {}, set()  # tasks that cannot be read and why; whose annotations cannot
        self.full_readings = 0
        for task in tasks:
            self.add(task)

    def add(self, task):
        self.rows[task] = {"id": task, "data": {"image": f"/{task}.jpg"}, "annotations": []}
        self.touch(task)

    def touch(self, task):
        row = self.rows[task]
        row["updated_at"] = self.now.isoformat()
        self.count(task)

    def count(self, task):
        skips = sum(one["was_cancelled"] for one in self.rows[task]["annotations"])
        row = self.rows[task]
        row["total_annotations"], row["cancelled_annotations"] = len(row["annotations"]) - skips, skips
        row["is_labeled"] = row["total_annotations"] > 0

    def annotate(self, task, label, skip=False, count=True):
        self._ids += 1
        value = {"from_name": "choice", "type": "choices", "value": {"choices": [label]}}
        self.rows[task]["annotations"].append(
            {"id": self._ids, "updated_at": "now", "was_cancelled": skip, "result": [] if skip else [value]}
        )
        if count:
            self.touch(task)

    def project(self, project):
        return {"id": project, "task_number": len(self.rows)}

    def newest_change(self, project):
        return max((row["updated_at"] for row in self.rows.values()), default="")

    def tasks(self, project, *, since=None, after=0, fields, skipped=None):
        self.full_readings += since is None and after == 0
        for row in [self.rows[task] for task in sorted(self.rows) if task > after]:
            if row["id"] in self.odd:
                skipped.add(f"task {row['id']}", self.odd[row["id"]])
            elif since is None or datetime.fromisoformat(row["updated_at"]) > since:
                yield {field: row[field] for field in fields if field in row}

    def annotated(self, project, tasks, fields, skipped=None):
        self.read += tasks
        for task in self.silent & set(tasks):
            skipped.add(f"annotations of task {task}", "annotation 1: no updated_at")
        if tasks:
            whole = [self.rows[task] for task in tasks if task in self.rows]
            yield [row if row["id"] not in self.silent else {**row, "annotations": []} for row in whole]

    def existing(self, project, tasks):
        return set(tasks) & set(self.rows)


@pytest.fixture
def table():
    return Table(1, 2, 3)


@pytest.fixture
def book(project):
    return LabelBook(project)


@pytest.fixture
def read(project, table, book):
    """Read as `tend` does; return the labels."""

    def read(*events, full=False):
        if full:
            project.set(want_full="1")
        before, labels = project.tasks(), book.annotations()
        read_project(project, table, project.target(), None, events, lambda: None)
        assert not unread(project)
        known, said = project.tasks(), book.annotations()
        tasks = before.keys() | known.keys()
        read.changes = sum(before.get(t) != known.get(t) or labels.get(t) != said.get(t) for t in tasks)
        return book.labels(project.target()).values

    return read


def test_tasks_and_labels_are_read(project, table, read):
    table.annotate(2, "cat")
    table.annotate(3, "", skip=True)
    assert read() == {2: "cat"}
    assert read.changes == 3
    rows = {1: TaskRow("/1.jpg", UNLABELED), 2: TaskRow("/2.jpg", ANNOTATED), 3: TaskRow("/3.jpg", SKIPPED)}
    assert project.tasks() == rows and table.read == [2, 3]


def test_what_was_read_is_not_read_again(table, read):
    table.annotate(2, "cat")
    read()
    table.read.clear()
    for full in (False, True, False):
        assert read(full=full) == {2: "cat"}
        assert read.changes == 0
    assert table.read == []
    table.now += timedelta(seconds=1)
    table.annotate(2, "dog")
    assert read() == {} and read.changes == 1
    assert table.read == [2]


def test_an_updated_label_is_read_though_the_task_looks_the_same(table, read):
    table.annotate(1, "cat")
    read()
    table.now += timedelta(seconds=1)
    table.rows[1]["annotations"][0]["result"][0]["value"]["choices"] = ["dog"]
    table.touch(1)
    assert read() == {1: "dog"} and read.changes == 1


def test_a_deleted_annotation_takes_its_label_along(table, read, book):
    table.annotate(1, "cat")
    table.annotate(2, "cat")
    table.annotate(2, "dog")
    assert read() == {1: "cat"}
    table.now += timedelta(minutes=5)
    for task in (1, 2):
        table.rows[task]["annotations"].pop()
        table.touch(task)
    assert read() == {2: "cat"}
    assert book.tasks() == {2}


def test_annotations_that_are_counted_late_are_found(table, read):
    read()
    table.annotate(1, "cat", count=False)
    assert read() == {}
    table.count(1)  # `updated_at` stays
    assert read() == {1: "cat"}


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("skip", [True, False])
def test_a_label_counts_though_label_studio_lost_count_of_it(project, table, read, heard, skip):
    # Importing predictions writes back the counts that were read before somebody submitted.
    read()
    counts = {key: table.rows[2][key] for key in ("total_annotations", "cancelled_annotations", "is_labeled")}
    table.now += timedelta(seconds=1)
    table.annotate(2, "cat", skip=skip)
    table.rows[2] |= counts
    said = {} if skip else {2: "cat"}
    state = SKIPPED if skip else ANNOTATED
    events = [Event("ANNOTATION_CREATED", (1,), (), (2,))] if heard else []
    for more in (events, [], []):
        assert read(*more) == said and project.tasks()[2].state == state
    assert read(full=True) == said and project.tasks()[2].state == state


@pytest.mark.parametrize("heard", [True, False])
def test_a_deletion_counts_though_label_studio_lost_count_of_it(project, table, read, heard):
    table.annotate(2, "cat")
    read()
    counts = {key: table.rows[2][key] for key in ("total_annotations", "is_labeled")}
    table.now += timedelta(seconds=1)
    table.rows[2]["annotations"].clear()
    if not heard:
        table.touch(2)
    table.rows[2] |= counts
    events = [Event("ANNOTATIONS_DELETED", (1,), tasks=(2,))] if heard else []
    for more in (events, [], []):
        assert read(*more) == {} and project.tasks()[2].state == UNLABELED
    assert read(full=True) == {} and project.tasks()[2].state == UNLABELED


def test_deleted_tasks_leave_the_book(project, table, read, book):
    for task in (1, 2, 3):
        table.annotate(task, "cat")
    read()
    del table.rows[1]
    assert read(full=True) == {2: "cat", 3: "cat"}
    del table.rows[2]
    drop_deleted(project, table, None, [Event("TASKS_DELETED", (2, 3))])
    assert book.tasks() == {3} and set(project.tasks()) == {3}


def test_a_task_that_is_deleted_while_it_is_read_has_no_label(table, read, book, monkeypatch):
    table.annotate(1, "cat")
    whole = table.annotated

    def annotated(*arguments, **options):
        del table.rows[1]
        return whole(*arguments, **options)

    monkeypatch.setattr(table, "annotated", annotated)
    assert read() == {} and book.tasks() == set()


def test_a_lost_book_is_read_again_at_once(store, project, table, read):
    table.annotate(1, "cat")
    read()
    table.now += timedelta(hours=1)
    table.annotate(2, "dog")
    read()
    store.delete(project.name("labels", FORMAT))
    assert project.get("read_to") and wants_full(project, project.target())
    assert read() == {1: "cat", 2: "dog"}
    assert not wants_full(project, project.target())


def test_a_lost_watermark_costs_no_second_reading_of_labels(store, project, table, read):
    table.annotate(1, "cat")
    read()
    store.hdel(project.name("info"), "read_to")
    table.read.clear()
    assert read() == {1: "cat"} and table.read == []


def test_lost_tasks_do_not_keep_the_labels_of_deleted_ones(store, project, table, read, book):
    table.annotate(1, "cat")
    read()
    store.delete(project.name("tasks"))
    del table.rows[1]
    assert read(full=True) == {} and book.tasks() == set()


def test_a_reading_that_fails_is_made_up_for(project, table, read, monkeypatch):
    read()
    before = project.get("read_to")
    table.now += timedelta(minutes=5)
    table.annotate(1, "cat")

    def annotated(*arguments, **options):
        raise LabelStudioError("down")

    with monkeypatch.context() as broken:
        broken.setattr(table, "annotated", annotated)
        with pytest.raises(LabelStudioError):
            read()
    assert project.get("read_to") == before
    assert read() == {1: "cat"} and project.get("read_to") > before


def test_an_interrupted_first_reading_is_not_complete(project, table, book, read, monkeypatch):
    table.annotate(1, "cat")

    def annotated(*arguments, **options):
        raise LabelStudioError("down")

    monkeypatch.setattr(table, "annotated", annotated)
    with pytest.raises(LabelStudioError):
        read()
    assert not book.complete and unread(project) == "reading everything: 0 of 3"


def test_a_task_that_cannot_be_read_is_named_until_it_can(project, table, read, caplog):
    table.odd[2] = "no updated_at"
    read()
    assert set(project.tasks()) == {1, 3} and project.unreadable() == {"task 2": "no updated_at"}
    assert "1 tasks cannot be read and are left out: task 2: no updated_at" in caplog.text
    caplog.clear()
    read(full=False)
    assert project.unreadable() == {"task 2": "no updated_at"} and not caplog.text
    del table.odd[2]
    table.now += timedelta(seconds=1)
    table.touch(2)
    read(full=False)
    assert set(project.tasks()) == {1, 2, 3} and project.unreadable() == {}


def test_a_task_that_can_be_read_no_more_is_not_gone(project, table, read):
    table.annotate(2, "cat")
    read()
    table.odd[2] = "no updated_at"
    assert read(full=True) == {2: "cat"} and set(project.tasks()) == {1, 2, 3}
    assert not _misses(project, table)
    del table.rows[2]
    assert read(full=True) == {} and project.unreadable() == {}


@pytest.mark.parametrize("known", [True, False])
def test_tasks_that_cannot_be_read_ask_for_no_complete_reading(project, table, read, known):
    if known:
        read()
    table.odd = {2: "no updated_at", 3: "no object"}
    read(full=True)
    assert len(project.unreadable("tasks")) == 2
    project.set(full_at="0")
    assert not _misses(project, table)
    table.add(4)
    assert _misses(project, table)


def test_annotations_that_cannot_be_read_leave_their_task_without_a_label(project, table, read, book):
    table.annotate(1, "cat")
    table.annotate(2, "dog")
    table.silent = {2}
    assert read() == {1: "cat"}
    assert project.tasks()[2].state == ANNOTATED and project.unreadable() == {
        "annotations of task 2": "annotation 1: no updated_at"
    }
    assert read() == {1: "cat"} and project.tasks()[2].state == ANNOTATED
    table.silent = set()
    assert read(full=True) == {1: "cat", 2: "dog"} and project.unreadable() == {}
    table.now += timedelta(minutes=5)
    table.silent = {2}
    table.touch(2)
    assert read() == {1: "cat"} and project.unreadable()
    table.rows[2]["annotations"].clear()
    table.silent = set()
    table.now += timedelta(minutes=5)
    table.touch(2)
    assert read() == {1: "cat"} and project.unreadable() == {} and project.tasks()[2].state == UNLABELED


def test_a_count_that_agrees_is_not_asked_for_again(project, table, read, monkeypatch):
    read()
    asked = []
    monkeypatch.setattr(table, "project", lambda number: asked.append(number) or {"task_number": len(table.rows)})
    assert not _misses(project, table, 3) and not asked
    del table.rows[2]
    assert _misses(project, table, 2) and asked, "one that differs may be of a moment ago"
    table.add(2)
    assert not _misses(project, table, 2), "and there are as many again"


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        ("/a.jpg", "/a.jpg"),
        (["/a.jpg", "/b.jpg"], "/a.jpg"),
        ([], ""),
        ({"url": "/a.jpg"}, "/a.jpg"),
        (None, ""),
        (3, ""),
    ],
)
def test_the_image_of_a_task_is_found(value, uri):
    assert image_uri({"image": value}, "image") == uri


class TestWholeReadings:
    """A deletion that no event names is found by Label Studio's count of tasks."""

    @pytest.fixture
    def cache(self, project, tmp_path):
        cache = PatternCache(project, "g", tmp_path)
        rows = np.zeros((4, 2), np.float16)
        sources = np.array([source_hash(f"/{task}.jpg") for task in (1, 2, 3, 4)], np.uint64)
        cache.put(Block(np.arange(1, 5), sources, rows, rows, np.arange(5)))
        return cache

    @pytest.fixture
    def look(self, project, table, cache):
        """Read as a look does; return how many whole readings that took."""

        def look(*events):
            before = table.full_readings
            read_project(project, table, project.target(), cache, events, lambda: None)
            return table.full_readings - before

        assert look() == 1, "the first one"
        return look

    def test_an_equal_count_needs_none(self, table, look):
        assert look() == 0
        table.now += timedelta(minutes=5)
        table.add(4)
        assert look() == 0

    def test_fewer_tasks_than_we_know_are_read_at_once(self, project, table, look, cache):
        del table.rows[2]
        assert look() == 1
        assert set(project.tasks()) == {1, 3} and 2 not in cache.rows()
        assert look() == 0

    def test_more_tasks_than_we_know_are_read_once_a_minute(self, project, table, look):
        table.add(4)
        table.rows[4]["updated_at"] = (START - timedelta(days=1)).isoformat()  # an old task that moved in here
        assert look() == 0, "while somebody imports, the count is ahead"
        project.set(full_at=str(time.time() - FULL_AT_MOST_EVERY - 1))
        assert look() == 1 and set(project.tasks()) == {1, 2, 3, 4}
        assert look() == 0

    def test_one_deleted_while_another_came_is_found(self, project, table, look):
        del table.rows[2]
        table.now += timedelta(minutes=5)
        table.add(4)
        assert look() == 1 and set(project.tasks()) == {1, 3, 4}, "the count is compared after the new one was read"

    @pytest.mark.parametrize(
        ("fact", "value"), [("want_full", "1"), ("full_at", f"-{FULL_EVERY + 1}"), ("image_field", "another")]
    )
    def test_what_else_asks_for_one(self, project, look, fact, value):
        project.set(**{fact: str(time.time() + float(value)) if fact == "full_at" else value})
        assert look() == 1 and look() == 0

    def test_an_event_that_names_a_deleted_task_needs_none(self, project, table, look, cache):
        del table.rows[3]
        assert look(Event("TASKS_DELETED", (3,))) == 0
        assert set(project.tasks()) == {1, 2} and 3 not in cache.rows()

    def test_a_task_that_label_studio_still_has_is_not_dropped(self, project, look, cache):
        assert look(Event("TASKS_DELETED", (3,))) == 0
        assert set(project.tasks()) == {1, 2, 3} and 3 in cache.rows()


def test_an_image_that_was_replaced_is_known_by_its_new_address(project, table, read):
    read()
    project.quarantine({1: ("/1.jpg", "broken")})
    table.now += timedelta(minutes=5)
    table.rows[1]["data"] = {"image": "/new.jpg"}
    table.touch(1)
    read()
    assert project.tasks()[1] == TaskRow("/new.jpg", UNLABELED) and read.changes == 1


def test_an_address_with_half_a_surrogate_pair_stops_no_reading(project, table, read):
    table.rows[2]["data"] = {"image": "s3://bucket/\ud800.jpg"}
    table.annotate(2, "cat")
    assert read() == {2: "cat"} and read() == {2: "cat"}
    assert project.tasks()[2].uri == "s3://bucket/\ud800.jpg"


def test_a_field_that_no_task_has_is_named_with_what_the_tasks_have(project, table, read):
    for row in table.rows.values():
        row["data"] = {"photo": "/a.jpg", "name": "a"}
    read(full=True)
    told = project_status(project)["error"]
    assert "'image'" in told and "'photo', 'name'" in told and "<Image value>" in told
    table.rows[2]["data"] = {"image": "/2.jpg"}
    read(full=True)
    assert project_status(project)["error"] == "", "one task with an image: the others are bad images"


def test_reading_notes_when_tasks_were_labeled(project):
    """Skips count too; tasks that nobody labeled, and labels of long ago, do not."""
    table = Table(*range(1, 9))

    def look(full=False):
        project.set(want_full=str(int(full)))
        read_project(project, table, project.target(), None, (), lambda: None)

    table.now = datetime.now(UTC) - timedelta(hours=2)
    table.annotate(1, "cat")
    table.now = datetime.now(UTC) - timedelta(minutes=30)
    for task in (2, 3):
        table.annotate(task, "cat", skip=task == 3)
    look(full=True)
    assert People(project).pace() == 2
    table.now = datetime.now(UTC)
    table.annotate(4, "dog")
    table.touch(5)
    look()
    assert People(project).pace() == 6 and People(project).last_labeled() == pytest.approx(time.time(), abs=5)


class TestSlices:
    """A reading goes on where the look before stopped, whatever happens in between."""

    @pytest.fixture
    def table(self):
        table = Table(*range(1, 51))
        table.now += timedelta(hours=1)
        table.touch(50)  # the others are older than what is read again at each look
        return table

    @pytest.fixture
    def step(self, project, table, monkeypatch):
        """Look once, at one page of ten tasks for each pass; return what is left."""
        monkeypatch.setattr(reading, "SLICE", -1.0)
        monkeypatch.setattr(pages, "PAGE", 10)

        def step(*events):
            read_project(project, table, project.target(), None, events, lambda: None)
            return unread(project)

        return step

    @staticmethod
    def everything(step):
        """Look until nothing is left; return what was left each time."""
        left = [step()]
        while left[-1]:
            left.append(step())
            assert len(left) < 50
        return left

    def test_it_says_how_far_it_came(self, project, table, step):
        whole = [line for line in self.everything(step) if "everything" in line]
        assert whole == [f"reading everything: {10 * n} of 50" for n in range(1, 6)]
        assert set(project.tasks()) == set(range(1, 51)) and table.full_readings == 1

    def test_what_the_first_reading_has_not_come_to_is_read_once(self, project, table, step):
        for task in table.rows:  # an import, a moment ago
            table.touch(task)
        asked, tasks = [], table.tasks

        def listed(*arguments, since=None, **options):
            for row in tasks(*arguments, since=since, **options):
                asked.append((since is not None, row["id"]))
                yield row

        table.tasks = listed
        looks = self.everything(step)
        assert set(project.tasks()) == set(range(1, 51))
        again = [task for changed, task in asked if changed]
        assert [task for changed, task in asked if not changed] == list(range(1, 51))
        assert len(looks) <= 12 and max(map(again.count, again)) <= 8, "what is behind the first pass only"

    def test_a_change_ahead_of_the_first_reading_is_not_passed_over(self, project, table, step, book):
        step()
        table.now += timedelta(seconds=5)
        table.annotate(3, "cat")  # behind where it is
        table.annotate(45, "dog")  # ahead of it
        self.everything(step)
        assert book.tasks() == {3, 45}
        table.now += timedelta(seconds=5)
        table.annotate(44, "cat")
        self.everything(step)
        assert book.tasks() == {3, 44, 45}

    def test_a_killed_look_is_gone_on_with(self, project, table, step, monkeypatch):
        step()
        keep, pages_read = project.put_tasks, []

        def put_tasks(self, rows):
            keep(rows)
            if rows:
                pages_read.append(sorted(rows))

        monkeypatch.setattr(type(project), "put_tasks", put_tasks)
        rows = table.tasks

        def kill(*arguments, **options):
            yield from list(rows(*arguments, **options))[:4]
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(table, "tasks", kill)
            with pytest.raises(KeyboardInterrupt):
                step()
        assert unread(project) == "reading everything: 10 of 50"
        self.everything(step)
        assert set(project.tasks()) == set(range(1, 51)) and table.full_readings == 1
        assert pages_read[1] == list(range(11, 21)), "what was read before is not read again"

    def test_deleted_tasks_hide_no_others_and_are_dropped_at_the_end(self, project, table, step, book):
        table.now = START
        for task in (5, 30, 48):
            table.annotate(task, "cat")
        self.everything(step)
        project.set(want_full="1")
        step()
        for task in (2, 3, 5, 12, 45, 48):  # behind where it is, and before
            del table.rows[task]
        step()
        assert {2, 3, 5, 12} <= set(project.tasks()), "before every page was seen nothing is concluded"
        self.everything(step)
        gone = {12, 45, 48}
        assert set(project.tasks()) == set(range(1, 51)) - gone, "2, 3 and 5 were seen alive"
        assert book.tasks() == {5, 30}
        project.set(full_at=str(time.time()))
        assert _misses(project, table), "Label Studio's count tells that they are gone"
        self.everything(step)
        assert set(project.tasks()) == set(table.rows) and book.tasks() == {30}

    def test_a_task_that_an_event_drops_does_not_come_back(self, project, table, step):
        step()
        del table.rows[4], table.rows[40]
        step(Event("TASKS_DELETED", (4, 40)))
        assert 4 not in project.tasks()
        self.everything(step)
        assert set(project.tasks()) == set(table.rows)

    def test_tasks_that_come_meanwhile_are_kept(self, project, table, step):
        self.everything(step)
        project.set(want_full="1")
        del table.rows[3]
        step()
        table.now += timedelta(minutes=5)
        for task in (3, 51, 90):  # 3: a slow transaction, or moved here from elsewhere
            table.add(task)
        self.everything(step)
        assert set(project.tasks()) == set(table.rows)

    def test_labels_are_read_between_the_slices(self, project, table, step, book):
        step()
        assert unread(project)
        table.now += timedelta(minutes=5)
        table.annotate(2, "cat")  # behind
        table.annotate(40, "dog")  # before
        step(Event("ANNOTATION_CREATED", (1,), (), (2,)))
        assert unread(project) and book.tasks() == {2, 40}
        self.everything(step)
        assert book.labels(project.target()).values == {2: "cat", 40: "dog"}

    def test_what_changes_behind_the_first_reading_is_read_without_events(self, project, table, step, book):
        step()
        step()
        table.now += timedelta(seconds=1)
        table.annotate(2, "cat")
        self.everything(step)
        assert book.labels(project.target()).values == {2: "cat"}

    def test_another_image_field_begins_anew(self, project, table, step):
        step()
        step()
        project.set(label_config=project.get("label_config").replace("$image", "$photo"))
        for row in table.rows.values():
            row["data"] = {"photo": f"/p{row['id']}.jpg"}
        assert step() == "reading everything: 10 of 50"
        self.everything(step)
        assert {row.uri for row in project.tasks().values()} == {f"/p{task}.jpg" for task in range(1, 51)}

    def test_a_wish_for_a_reading_meanwhile_gets_another_one(self, project, table, step):
        step()
        project.set(want_full="1")
        self.everything(step)
        assert table.full_readings == 2 and project.get("want_full") == "0"

    def test_what_was_seen_and_is_lost_drops_nothing(self, project, table, step, caplog):
        self.everything(step)
        project.set(want_full="1")
        step()
        step()
        project.store.delete(project.name("seen"))
        self.everything(step)
        assert set(project.tasks()) == set(range(1, 51)) and "everything is read again" in caplog.text
        assert table.full_readings == 3

    def test_a_book_that_is_lost_meanwhile_is_not_complete(self, project, table, step, book):
        table.annotate(2, "cat")
        step()
        step()
        project.store.delete(project.name("labels", FORMAT))
        self.everything(step)
        assert book.complete and book.tasks() == {2}

    def test_a_task_that_cannot_be_read_is_named_whichever_slice_saw_it(self, project, table, step):
        table.odd = {5: "no updated_at", 45: "no updated_at"}
        self.everything(step)
        assert set(project.unreadable()) == {"task 5", "task 45"}
        project.set(want_full="1")
        step()
        table.now += timedelta(minutes=5)
        table.odd = {45: "no updated_at"}
        table.touch(5)
        self.everything(step)
        assert set(project.unreadable()) == {"task 45"} and 5 in project.tasks()

    def test_many_changes_are_read_in_slices_too(self, project, table, step):
        self.everything(step)
        table.now += timedelta(minutes=5)
        for task in range(1, 51):
            table.rows[task]["data"] = {"image": f"/new{task}.jpg"}
            table.touch(task)
        left = self.everything(step)
        assert left[:2] == ["reading what changed: 10 so far", "reading what changed: 20 so far"]
        assert {row.uri for row in project.tasks().values()} == {f"/new{task}.jpg" for task in range(1, 51)}
        assert table.full_readings == 1

    def test_a_label_is_read_at_once_while_many_changes_are_read(self, project, table, step, book):
        self.everything(step)
        table.now += timedelta(minutes=5)
        for task in range(1, 51):
            table.touch(task)
        step()
        step()
        table.now += timedelta(seconds=1)
        table.annotate(2, "cat")
        step(Event("ANNOTATION_CREATED", (1,), (), (2,)))
        assert book.tasks() == {2}
        table.now += timedelta(seconds=1)
        table.annotate(3, "cat")  # of this one nothing is heard
        self.everything(step)
        self.everything(step)
        assert book.tasks() == {2, 3}

    def test_a_large_import_is_not_read_again_at_every_look(self, project, table, step, monkeypatch):
        monkeypatch.setattr(reading, "AGAIN", 20)
        for task in range(1, 51):
            table.touch(task)
        self.everything(step)
        assert self.everything(step)[0] == "reading what changed: 10 so far", "transactions may be slow"
        project.set(watermark_at=str(time.time() - 100))
        self.everything(step)
        assert self.everything(step) == [""], "for a minute"
        table.now += timedelta(seconds=1)
        table.annotate(2, "cat")
        self.everything(step)
        assert project.tasks()[2].state == ANNOTATED

    def test_a_long_pass_leaves_what_changed_meanwhile_to_the_next(self, project, table, step, book):
        self.everything(step)
        table.now += timedelta(minutes=5)
        for task in range(1, 51):
            table.touch(task)
        for _ in range(3):
            step()
        table.now += timedelta(seconds=200)
        table.annotate(2, "cat")  # behind the pass, and no event tells
        table.now += timedelta(seconds=100)
        table.touch(45)  # before it
        self.everything(step)
        assert book.tasks() == set()
        self.everything(step)
        assert book.tasks() == {2}

    def test_a_pass_that_was_stopped_in_its_first_slice_begins_anew(self, project, table, step, book, monkeypatch):
        self.everything(step)
        table.now += timedelta(minutes=5)
        for task in range(1, 51):
            table.touch(task)
        with monkeypatch.context() as patch:
            patch.setattr(table, "newest_change", kill)
            with pytest.raises(KeyboardInterrupt):
                step()
        table.now += timedelta(days=1)
        table.annotate(2, "cat")
        self.everything(step)
        assert book.tasks() == {2}

    def test_a_long_import_costs_no_request_for_annotations(self, project, table, step):
        table.rows.clear()
        self.everything(step)
        for task in range(1, 101):
            table.now += timedelta(seconds=10)
            table.add(task)
            table.rows[task]["created_at"] = table.rows[task]["updated_at"]
            if task % 5 == 0:
                step()
        self.everything(step)
        self.everything(step)
        assert set(project.tasks()) == set(range(1, 101)) and table.read == []
        table.now += timedelta(seconds=10)
        table.touch(7)
        step()
        assert table.read == [7], "something was done to it, whatever Label Studio counts"


def kill(*arguments, **options):
    raise KeyboardInterrupt


def test_what_no_event_told_of_is_counted_as_repaired(project, table, read):
    def repaired():
        return {what.labels[0]: n for what, n in COUNTERS.take().items() if what.metric == "repairs_total"}

    COUNTERS.take()
    table.annotate(1, "cat")
    read()
    assert repaired() == {}, "the first reading repairs nothing"
    table.now += timedelta(minutes=5)
    table.annotate(2, "cat")
    table.add(4)
    read(Event("ANNOTATION_CREATED", (2,), (), (2,)), Event("TASKS_CREATED", (4,)))
    assert repaired() == {}
    table.now += timedelta(minutes=5)
    table.annotate(3, "cat")
    table.add(5)
    read()
    assert repaired() == {"label": 1, "task": 1}
    del table.rows[1]
    read(full=True)
    assert repaired() == {"deletion": 1}
    read(full=True)
    assert repaired() == {}


# -- values of a field, by which places are shared out


def values(project):
    return Replica(project).values()


def test_values_are_kept_while_the_setting_names_a_field(project, table, read):
    for task, site in ((1, "A"), (2, 7), (3, None)):
        table.rows[task]["data"]["site"] = site
    read()
    assert not project.store.exists(project.name("balance")), "nobody asked for them"
    project.put_settings({"balance": "site"}, "test")
    assert wants_full(project, project.target())
    read()
    codes, names = values(project)
    assert [names[code] for code in codes] == ["A", "7", "(none)"] and not wants_full(project, project.target())
    project.put_settings({"balance": "image"}, "test")
    assert wants_full(project, project.target())
    read()
    assert values(project)[1] == ("/1.jpg", "/2.jpg", "/3.jpg")
    project.put_settings({"balance": ""}, "test")
    read()
    assert not project.store.exists(project.name("balance")) and not wants_full(project, project.target())


def test_values_change_with_the_data_and_come_and_go_with_the_tasks(project, table, read):
    project.put_settings({"balance": "site"}, "test")
    read()
    assert values(project)[1] == ("(none)",) and project.get("data_fields") == "'image'"
    table.now += timedelta(minutes=5)
    table.rows[1]["data"]["site"] = "A"
    table.touch(1)
    table.add(4)
    table.rows[4]["data"]["site"] = "B"
    read()
    codes, names = values(project)
    assert [names[code] for code in codes] == ["A", "(none)", "(none)", "B"]
    del table.rows[4]
    read(full=True)
    assert project.store.hlen(project.name("balance")) == 3


def test_a_field_that_changes_while_everything_is_read_begins_the_reading_anew(project, table, read, monkeypatch):
    monkeypatch.setattr(pages, "PAGE", 1)
    monkeypatch.setattr(reading, "SLICE", -1.0)
    project.put_settings({"balance": "site"}, "test")
    read_project(project, table, project.target(), None, (), lambda: None)
    assert unread(project) and not project.get("balance_field")
    project.put_settings({"balance": "image"}, "test")
    while wants_full(project, project.target()) or unread(project):
        read_project(project, table, project.target(), None, (), lambda: None)
    assert project.get("balance_field") == "image" and values(project)[1] == ("/1.jpg", "/2.jpg", "/3.jpg")
