"""Names of annotators: asked for when one is not known, kept short, and nothing waits for them."""

from __future__ import annotations

import json
import time

from labelqueue.exceptions import LabelStudioError
from labelqueue.reading.names import ASK_EVERY, LONGEST, read_names

USERS = [
    {"id": 1, "first_name": "Ann ", "last_name": "Lee", "username": "ann", "email": "ann@test.local"},
    {"id": 2, "first_name": "", "last_name": None, "username": "bob", "email": "bob@test.local"},
    {"id": 3, "email": f"{'x' * 200}@test.local"},
    {"id": 4},
    {"id": 5, "username": "nobody here"},
]


class Remote:
    def __init__(self, users=USERS, error=None):
        self.users, self.error, self.calls = users, error, 0

    def people(self):
        self.calls += 1
        if self.error:
            raise self.error
        return self.users


def test_names_of_those_who_annotate_are_kept_and_no_others(project):
    remote = Remote()
    read_names(project, remote, [1, 2, 3, 4, 9])
    assert json.loads(project.get("people")) == {"1": "Ann Lee", "2": "bob", "3": "x" * LONGEST}
    read_names(project, remote, [1, 2])
    assert remote.calls == 1


def test_somebody_new_is_asked_for_at_most_once_an_hour(project):
    remote = Remote()
    read_names(project, remote, [1])
    for _ in range(3):
        read_names(project, remote, [1, 2])
    assert remote.calls == 1
    project.set(people_at=str(time.time() - ASK_EVERY - 1))
    read_names(project, remote, [1, 2])
    assert remote.calls == 2 and json.loads(project.get("people")) == {"1": "Ann Lee", "2": "bob"}


def test_a_list_that_cannot_be_had_costs_nothing(project):
    remote = Remote(error=LabelStudioError("no", status=403))
    for _ in range(3):
        read_names(project, remote, [1])
    assert remote.calls == 1 and project.get("people") == ""
    read_names(project, Remote(), [])
    assert project.get("people") == ""
