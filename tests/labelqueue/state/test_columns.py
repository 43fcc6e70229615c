"""What is stored of every task, as columns."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelqueue.block import source_hash
from labelqueue.labels.annotations import ANNOTATED, SKIPPED, UNLABELED
from labelqueue.state.columns import read_columns
from labelqueue.state.task_row import TaskRow

URIS = st.text(st.characters(categories=None), max_size=20)  # any code point, halves of surrogate pairs included
TASKS = st.dictionaries(
    st.integers(0, 2**63 - 1), st.tuples(URIS, st.sampled_from([UNLABELED, ANNOTATED, SKIPPED])), max_size=20
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50, deadline=None
)
@given(TASKS)
def test_columns_hold_every_task_in_ascending_order(project, tasks):
    project.store.delete(project.name("tasks"))
    project.put_tasks({task: TaskRow(*row) for task, row in tasks.items()})
    columns = read_columns(project)
    assert len(columns) == len(tasks)
    assert columns.ids.tolist() == sorted(tasks)
    assert [chr(code) for code in columns.states] == [tasks[task][1] for task in sorted(tasks)]
    assert columns.sources.tolist() == [source_hash(tasks[task][0]) for task in sorted(tasks)]
    assert (columns.ids.dtype, columns.states.dtype, columns.sources.dtype) == (np.int64, np.uint8, np.uint64)
