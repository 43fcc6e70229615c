"""A project whose Label Studio answers at once, and the people at its desk: annotators and a worker."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np

from conftest import CONFIG
from labelqueue.block import Block, source_hash
from labelqueue.exceptions import LabelStudioError
from labelqueue.labelstudio.records import Hooks
from labelqueue.state.campaigns import load_campaign
from labelqueue.state.orders import Orders
from labelqueue.state.project import LIVE_VERSION
from labelqueue.store.lock import ProjectLock
from labelqueue.worker import embedding
from labelqueue.worker.look import look

EPOCH = datetime(2026, 11, 21, tzinfo=UTC)


class Server:
    """What the client's methods return for one project; `down` lets every import fail."""

    def __init__(self, project, n):
        created = datetime.fromtimestamp(project.ref.created, UTC).isoformat()
        self.remote = {"id": project.ref.id, "created_at": created, "label_config": CONFIG, "title": "animals"}
        self.rows = {task: self._row(task, [], 0) for task in range(1, n + 1)}
        self.clock, self.down, self.imported = 0, False, []
        self.moves = 0
        self.stored = Counter()  # predictions by version, besides those imported

    def _row(self, task, annotations, clock):
        counts = {"total_annotations": len(annotations), "cancelled_annotations": 0}
        changed = (EPOCH + timedelta(seconds=clock)).isoformat()
        return {"id": task, "data": {"image": f"u{task}"}, "updated_at": changed, "annotations": annotations} | counts

    def label(self, task, label, control="choice"):
        self.clock += 1
        result = {"from_name": control, "value": {"choices": [label]}}
        said = {"id": self.clock, "updated_at": str(self.clock), "result": [result]}
        self.rows[task] = self._row(task, [said], self.clock)

    def guarded(self, check):
        self.check = check
        return self

    def project(self, project):
        return self.remote | {"task_number": len(self.rows)}

    def ml_backends(self, project, *, skipped=None):
        return [{"model_version": LIVE_VERSION, "url": "http://localhost:9090", "title": "labelqueue"}]

    def secure_webhooks(self, *arguments, skipped=None):
        return Hooks(1, 0)

    def prediction_counts(self, project):
        return self.stored + Counter(row["model_version"] for rows in self.imported for row in rows)

    def newest_change(self, project):
        return max((row["updated_at"] for row in self.rows.values()), default="")

    def tasks(self, project, *, since=None, after=0, fields, skipped=None):
        rows = (self.rows[task] for task in sorted(self.rows) if task > after)
        new = (row for row in rows if not since or datetime.fromisoformat(row["updated_at"]) > since)
        return iter([{key: value for key, value in row.items() if key != "annotations"} for row in new])

    def annotated(self, project, tasks, *, fields, skipped=None):
        yield [self.rows[task] for task in tasks if task in self.rows]

    def existing(self, project, tasks):
        return set(tasks) & self.rows.keys()

    def import_predictions(self, project, rows):
        if self.down:
            raise LabelStudioError("the database is locked", status=500)
        self.imported.append(rows)
        return len(rows)

    def create_prediction(self, row):
        self.import_predictions(0, [row])

    def predicted(self, project, version):
        return {row["task"] for rows in self.imported for row in rows if row["model_version"] == version}

    def predictions_of(self, project, version, limit):
        places = [(i, j) for i, rows in enumerate(self.imported) for j, row in enumerate(rows)]
        return [place for place in places if self.imported[place[0]][place[1]]["model_version"] == version][-limit:][
            ::-1
        ]

    def predictions_at(self, project, version, tasks):
        return [
            (row["task"], (i, j), row["score"])
            for i, rows in enumerate(self.imported)
            for j, row in enumerate(rows)
            if row["model_version"] == version and row["task"] in set(tasks)
        ]

    def move_prediction(self, place, score):
        self.moves += 1
        self.imported[place[0]][place[1]]["score"] = score

    def delete_prediction(self, place):
        del self.imported[place[0]][place[1]]

    def update_project(self, project, **values):
        self.remote |= values

    def save_tab(self, *arguments, skipped=None):
        return 1


class Desk:
    """Annotators who know the answer, and a worker who tends the project when told to."""

    def __init__(self, runtime, project, n):
        self.runtime, self.project, self.server = runtime, project, Server(project, n)
        runtime.__dict__["client"] = self.server
        self.truth = {task: ("cat", "dog")[task % 2] for task in range(1, n + 1)}
        project.set(generation=self.embed(8), arrivals=str(n))

    def embed(self, width):
        """Embed every image under the generation that the settings ask for; return it."""
        n, rng = len(self.truth), np.random.default_rng(0)
        ids = np.arange(1, n + 1, dtype=np.int64)
        rows = (np.eye(2, width)[ids % 2] * 4 + rng.normal(size=(n, width))).astype(np.float16)
        sources = np.array([source_hash(f"u{task}") for task in ids], dtype=np.uint64)
        generation = embedding.generation_of(self.runtime, self.project.target(), self.project.settings())
        block = Block(ids, sources, rows, rows, np.arange(n + 1, dtype=np.int64))
        self.runtime.cache(self.project, generation).put(block)
        return generation

    def tend(self):
        with ProjectLock(self.project) as lock:
            return look(self.runtime, self.project, lock)

    @property
    def live(self):
        return Orders(self.project).live()

    @property
    def memory(self):
        return load_campaign(self.project)

    def next(self):
        """Return the place that Label Studio serves next."""
        tasks, live = self.server.rows, self.live
        stored = [row for rows in self.server.imported for row in rows if row["model_version"] == live.version]
        scores = {row["task"]: row["score"] for row in stored}
        assert len(scores) == len(stored), "one prediction of a version for one task"
        task = min((task for task in scores if not tasks[task]["annotations"]), key=scores.__getitem__)
        return next(place for place in live.queue if place.task == task)

    def label(self, count=1):
        for _ in range(count):
            task = self.next().task
            self.server.label(task, self.truth[task])

    def play(self, count, step=5):
        """Label so many tasks, with a look at the project after every few."""
        for _ in range(0, count, step):
            self.label(step)
            self.tend()
