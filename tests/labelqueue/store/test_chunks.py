"""Commands on many items: in chunks, whatever the number, and nothing is lost between them."""

import pytest

from labelqueue.store import (
    add_members,
    chunks,
    drop_fields,
    drop_members,
    get_fields,
    in_chunks,
    list_items,
    put_fields,
    put_large_fields,
    remove,
    scan_fields,
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(chunks, "WRITTEN", 7)
    monkeypatch.setattr(chunks, "READ", 7)
    monkeypatch.setattr(chunks, "LARGE", 3)


@pytest.mark.parametrize("n", [0, 1, 6, 7, 8, 50])
def test_nothing_is_lost_between_chunks(store, n):
    fields = {str(i): str(i * i).encode() for i in range(n)}
    put_fields(store, "h", fields)
    assert {k.decode(): v for part in scan_fields(store, "h") for k, v in part.items()} == fields
    assert get_fields(store, "h", [*fields, "no"]) == [*fields.values(), None]
    drop_fields(store, "h", list(fields)[: n // 2])
    assert store.hlen("h") == n - n // 2
    add_members(store, "z", {name: float(name) for name in fields})
    drop_members(store, "z", list(fields)[: n // 2])
    assert [int(name) for name in store.zrange("z", 0, -1)] == list(range(n // 2, n))
    for i in range(n):
        store.rpush("l", i)
    assert [int(item) for item in list_items(store, "l")] == list(range(n))
    remove(store, "h", "z", "l", *(f"none {i}" for i in range(n)))
    assert store.dbsize() == 0


def test_chunks_are_full_but_the_last():
    assert [len(part) for part in in_chunks(range(20))] == [7, 7, 6]
    assert list(in_chunks([])) == []


def test_what_is_there_throughout_is_seen_while_others_come_and_go(store):
    lasting = {str(i): b"" for i in range(2000)}
    put_fields(store, "h", lasting)
    seen = []
    for number, part in enumerate(scan_fields(store, "h")):
        seen += [int(name) for name in part]
        put_fields(store, "h", {f"9{number}{i}": b"" for i in range(40)})  # it grows, and shrinks again
        if number == 60:
            store.hdel("h", *(name for name in store.hkeys("h") if name.decode() not in lasting))
        if number > 500:
            break
    else:
        assert {int(name) for name in lasting} <= set(seen)


def test_large_values_go_in_small_chunks_and_do_not_stay_unless_somebody_keeps_them(store):
    taken = []

    def fields():
        for i in range(10):
            taken.append(int(store.hlen("large")))
            yield str(i), b"x"

    put_large_fields(store, "large", fields(), lifetime=60)
    assert taken == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9], "no more is held than one command takes"
    assert store.hlen("large") == 10 and 0 < store.ttl("large") <= 60
    put_large_fields(store, "nothing", iter(()), lifetime=60)
    assert not store.exists("nothing")
