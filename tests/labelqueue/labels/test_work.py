"""What people did, counted by day and by person; whatever an import wrote as a time costs nothing."""

import json

from labelqueue.labels.annotations import Annotation
from labelqueue.labels.work import DAYS, PEOPLE, Work, deeds_of

DAY = 86_400
NOW = 1_795_824_000  # 2026-11-28, 00:00 UTC


def one(user=1, created=NOW, seconds=None, skip=False, updated="2026-11-27T10:00:00Z"):
    return Annotation(1, updated, user, False, skip, created=created, seconds=seconds)


def told(*annotations):
    work = Work()
    work.add(deeds_of(annotations))
    return json.loads(json.dumps(work.told()))


def test_nothing():
    assert told() == {"days": [], "earlier": 0, "people": [], "others": [0, 0]}


def test_days_people_and_the_median_of_their_time():
    counts = told(
        one(seconds=4.0),
        one(seconds=600.0),
        one(seconds=8.04),
        one(skip=True, seconds=1.0),
        one(user=2),
        one(user=None),
    )
    assert counts["days"] == [["2026-11-28", 5, 1]]
    assert counts["people"] == [[1, 3, 1, 8.0], [0, 1, 0, None], [2, 1, 0, None]]


def test_without_a_time_of_creation_the_last_change_counts_and_what_is_no_date_is_left_out():
    assert told(one(created=0), one(created=NOW - DAY), one(created=0, updated="5"))["days"] == [["2026-11-27", 2, 0]]
    assert told(one(created=10**17), one(created=-(10**17)))["days"] == []


def test_it_stays_small():
    counts = told(*(one(user=number, created=NOW - number * DAY) for number in range(1, 201)))
    assert len(counts["days"]) == DAYS and counts["days"][-1][0] == "2026-11-27"
    assert counts["earlier"] == 200 - DAYS
    assert len(counts["people"]) == PEOPLE and counts["others"] == [150, 150]
