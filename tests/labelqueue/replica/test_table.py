"""Sorted tables: what is updated is what a table made anew would be."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.replica.table import Table

ROWS = st.dictionaries(st.integers(0, 30), st.tuples(st.integers(0, 3), st.text("ab", max_size=2)), max_size=15)


def table(rows):
    ids, words = np.array(list(rows), np.int64), np.empty(len(rows), dtype=object)
    words[:] = [word for _, word in rows.values()]
    return Table.of(ids, [np.array([number for number, _ in rows.values()], np.uint8), words])


def told(found):
    return dict(zip(found.ids.tolist(), zip(*(column.tolist() for column in found.columns), strict=True), strict=True))


@given(ROWS, ROWS, st.sets(st.integers(0, 30)))
def test_an_update_is_what_a_table_made_anew_is(before, now, gone):
    old, gone = table(before), gone - now.keys()
    kept = {name: column.copy() for name, column in enumerate((old.ids, *old.columns))}
    touched = np.array(sorted(now.keys() | gone), np.int64)
    found = old.updated(touched, table(now))
    assert told(found) == {task: row for task, row in (before | now).items() if task not in gone}
    assert (np.diff(found.ids) > 0).all()
    assert all((kept[name] == column).all() for name, column in enumerate((old.ids, *old.columns))), "it is frozen"
    if told(found) == told(old):
        assert found.ids is old.ids and all(a is b for a, b in zip(found.columns, old.columns, strict=True))


def test_of_rows_with_one_id_the_last_one_stays():
    found = Table.of(np.array([3, 1, 3]), [np.array([1, 2, 3])])
    assert found.ids.tolist() == [1, 3] and found.columns[0].tolist() == [2, 3]
