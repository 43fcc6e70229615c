"""The map as pages read it: raw bytes of one revision, put up in one step, never an older one over a newer one."""

import numpy as np
import pytest

from labelqueue.exceptions import ProjectError
from labelqueue.gallery.maps import COLUMNS, Map, Maps


def made(n=3, shade=0, **facts):
    """Return a map of tasks 2^53 - n to 2^53 - 1."""
    ids = np.arange(2**53 - n, 2**53, dtype=np.int64)
    points = np.stack([np.arange(n), 65_535 - np.arange(n)], axis=1).astype(np.uint16)
    columns = {name: np.full(n, (code + shade) % 256, np.uint8) for code, name in enumerate(COLUMNS)}
    return Map(ids, points, columns, {"generation": "g1", "columns": {}, **facts})


@pytest.fixture
def maps(project):
    project.set(generation="g1")
    return Maps(project)


def test_the_bytes_are_what_a_browser_reads(maps):
    facts = maps.put(made(), 1.0)
    assert facts == maps.facts() and facts["count"] == 3 and len(facts["revision"]) == 16
    assert np.frombuffer(maps.points(), "<u2").reshape(3, 2).tolist() == [[0, 65535], [1, 65534], [2, 65533]]
    assert np.frombuffer(maps.ids(), "<f8").tolist() == [2**53 - 3, 2**53 - 2, 2**53 - 1], "exact"
    assert [maps.column(name) for name in COLUMNS] == [bytes([code] * 3) for code in range(len(COLUMNS))]
    with pytest.raises(ProjectError, match="no column 'mood'; it has state, label"):
        maps.column("mood")


def test_the_same_bytes_are_the_same_revision(maps):
    first, second = maps.put(made(), 1.0), maps.put(made(of="later"), 2.0)
    assert first["revision"] == second["revision"] and second["of"] == "later"
    assert maps.put(made(columns={"state": {"names": ["new"]}}), 3.0)["revision"] != first["revision"]


def test_who_reads_a_map_can_finish_while_the_next_one_is_put_up(maps, store):
    revisions = [maps.put(made(shade=shade), float(shade))["revision"] for shade in range(5)]
    assert maps.column("state", revisions[3]) == b"\3\3\3" and maps.column("state") == b"\4\4\4"
    with pytest.raises(ProjectError, match="is gone, there is a newer one"):
        maps.column("state", revisions[2])
    keys = list(store.scan_iter("*:map:*"))
    assert len(keys) == 2 and all(store.ttl(key) == -1 for key in keys)
    maps.put(made(shade=3), 9.0)  # as it was before: a label that was given and taken back
    assert maps.column("state") == b"\3\3\3" and maps.column("state", revisions[4]) == b"\4\4\4"
    maps.put(made(shade=7), 10.0)
    assert maps.column("state", revisions[3]) == b"\3\3\3" and len(list(store.scan_iter("*:map:*"))) == 2


def test_a_worker_that_saw_less_does_not_win(maps, store):
    newer = maps.put(made(shade=1), 5.0)
    assert maps.put(made(shade=2), 4.0) == newer == maps.facts()
    left = [key for key in store.scan_iter("*:map:*") if store.ttl(key) != -1]
    assert len(left) == 1 and 0 < store.ttl(left[0]) <= 600, "what it wrote goes by itself"


def test_there_is_no_map_of_other_embeddings_nor_half_a_map(maps, project, store):
    assert maps.facts() is None
    for read in (maps.points, maps.ids, lambda: maps.column("state")):
        with pytest.raises(ProjectError, match="has no map yet"):
            read()
    facts = maps.put(made(), 1.0)
    project.set(generation="g2")
    assert maps.facts() is None
    project.set(generation="g1")
    store.delete(project.name("map", facts["revision"]))
    assert maps.facts() is None
    assert maps.put(made(), 2.0)["count"] == 3 and maps.points()


def test_a_large_map_holds_the_server_for_milliseconds(maps, store):
    n = 300_000
    before = store.config_get("slowlog-log-slower-than")["slowlog-log-slower-than"]
    store.config_set("slowlog-log-slower-than", 100_000)
    store.slowlog_reset()
    ids = np.arange(n, dtype=np.int64)
    columns = {name: np.zeros(n, np.uint8) for name in COLUMNS}
    maps.put(Map(ids, np.zeros((n, 2), np.uint16), columns, {"generation": "g1", "columns": {}}), 1.0)
    assert len(maps.ids()) == 8 * n
    store.config_set("slowlog-log-slower-than", before)
    assert store.slowlog_get(10) == []
