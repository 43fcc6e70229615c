"""Who is at work in a project, and how fast."""

import time

import pytest

from labelqueue.state.people import People


def test_people_count_as_at_work_for_an_hour(project, store):
    store.zadd(project.name("annotators"), {"1": time.time(), "2": time.time() - 3500, "3": time.time() - 3700})
    assert People(project).at_work() == 2


def test_the_pace_is_that_of_the_last_hour_or_of_the_last_ten_minutes(project, store):
    now = time.time()
    assert (People(project).pace(), People(project).last_labeled()) == (0, 0.0)
    People(project).note_labeled(dict.fromkeys(range(1, 31), now - 1800) | {99: now - 4000})
    assert People(project).pace() == 30, "what is older does not count"
    People(project).note_labeled(dict.fromkeys(range(100, 110), now - 60))
    assert People(project).pace() == 60, "ten within ten minutes"
    People(project).note_labeled({100: now + 500})
    assert People(project).pace() == 60 and People(project).last_labeled() <= time.time(), "a clock that is ahead"
    People(project).note([3])
    assert People(project).last_labeled() == pytest.approx(time.time(), abs=5)
    store.zadd(project.name("pace"), {str(task): now - 3700 for task in range(1, 110)})
    People(project).note_labeled({})
    assert People(project).pace() == 0 and store.zcard(project.name("pace")) == 0
