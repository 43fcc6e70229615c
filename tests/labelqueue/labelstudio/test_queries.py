"""The queries, as Label Studio's Data Manager writes them."""

import json
from datetime import UTC, datetime, timedelta, timezone

from labelqueue.labelstudio.queries import having, listing


def test_everything_is_asked_for_by_id():
    assert json.loads(listing(None, 0)) == {"ordering": ["tasks:id"]}


def test_what_changed_is_asked_for_in_utc_to_the_microsecond():
    since = datetime(2026, 11, 21, 7, 0, 0, 123, tzinfo=timezone(timedelta(hours=2)))
    query = json.loads(listing(since, 41))
    (after, changed) = query["filters"]["items"]
    assert (after["filter"], after["operator"], after["value"]) == ("filter:tasks:id", "greater", 41)
    assert changed["value"] == "2026-11-21T05:00:00.000123Z" and changed["type"] == "Datetime"
    assert listing(since.astimezone(UTC), 41) == listing(since, 41) and query["filters"]["conjunction"] == "and"


def test_of_versions_only_a_list_is_looked_at():
    (held,) = json.loads(having("r1 FreeSel"))["filters"]["items"]
    assert held["value"] == ["r1 FreeSel"] and held["type"] == "List"
