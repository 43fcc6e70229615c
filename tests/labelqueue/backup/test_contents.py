"""What a backup takes along: every fact that the code names is taken, or left on purpose; secrets are left."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np

import labelqueue
from labelqueue.backup.contents import LEFT, MEMORY_FACTS, QUEUE_FACTS, dump_columns, load_columns

SOURCE = Path(labelqueue.__file__).parent
OPTIONS = {"ex", "px", "nx"}  # of Redis' own `set`


def named_facts():
    """Facts that are set anywhere: `project.set(error="")`, `register(title="")`, `count("arrivals")`, `facts={…}`."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr in ("set", "register"):
                found |= {keyword.arg for keyword in node.keywords if keyword.arg}
            if node.func.attr in ("get", "count", "settle") and "project" in ast.unparse(node.func.value):
                found |= {one.value for one in node.args[:1] if isinstance(one, ast.Constant)}
    return {name for name in found if isinstance(name, str)} - OPTIONS - {"task_number"}


def test_every_fact_is_taken_along_or_left_on_purpose():
    tables = (MEMORY_FACTS, QUEUE_FACTS, LEFT)
    rows = [name for table in tables for name in table]
    assert len(rows) == len(set(rows)) and all(list(table) == sorted(table) for table in tables)
    assert named_facts() - set(rows) == set(), "a backup does not know what to do with these"
    assert {"secret", "backend_url"} <= set(LEFT)


def test_columns_come_back_ascending():
    ids, sources = np.array([3, 1], np.int64), np.array([30, 2**64 - 1], np.uint64)
    back = load_columns(dump_columns(ids, sources))
    assert back[0].tolist() == [1, 3] and back[1].tolist() == [2**64 - 1, 30]
