"""Labels in, new order out: how long a worker takes when annotators of a large project have labeled one cycle more.

Fills a Redis of its own with a project of 100,000 embedded tasks and 1,000 labels, then tends it as the worker does:
read the changed tasks and their labels, train, rank, publish. Label Studio answers at once here: its own import is not
part of the figure (it is known to take 4.9 s for a project of this size).
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from labelqueue.block import Block, source_hash
from labelqueue.labels.annotations import ANNOTATED, UNLABELED, read_annotation
from labelqueue.labels.label_config import parse_label_config
from labelqueue.labelstudio.client import Hooks
from labelqueue.ordering.campaign import share_of
from labelqueue.settings import Deployment
from labelqueue.state.label_book import LabelBook
from labelqueue.state.project import LIVE_VERSION, Project, ProjectRef
from labelqueue.state.task_row import TaskRow
from labelqueue.store.lock import ProjectLock
from labelqueue.store.redis_server import EmbeddedRedis
from labelqueue.worker import embedding
from labelqueue.worker.look import look
from labelqueue.worker.runtime import Runtime

WIDTH, SHARD = 384, 32
Json = dict[str, Any]


class Instant:
    """A Label Studio that answers at once: what the client's methods return for this project."""

    def __init__(self, ref: ProjectRef, config: str, n: int) -> None:
        self._project = {"id": ref.id, "created_at": datetime.fromtimestamp(ref.created, UTC).isoformat()}
        self._project |= {"label_config": config, "title": "large", "task_number": n, "show_collab_predictions": True}
        self.changed: list[Json] = []
        self.published = 0

    def project(self, project: int) -> Json:
        return dict(self._project)

    def ml_backends(self, project: int, **options: Any) -> list[Json]:
        return [{"model_version": LIVE_VERSION, "url": "http://localhost:9090", "title": "labelqueue"}]

    def secure_webhooks(self, *arguments: Any, **options: Any) -> Hooks:
        return Hooks(1, 0)

    def guarded(self, check: Callable[[], None]) -> Self:
        return self

    def prediction_counts(self, project: int) -> dict[str, int]:
        return dict.fromkeys([str(self._project.get("model_version"))], self.published)

    def tasks(
        self, project: int, *, since: datetime | None = None, fields: Sequence[str], **options: Any
    ) -> Iterator[Json]:
        return iter([{key: task[key] for key in task if key != "annotations"} for task in self.changed])

    def annotated(
        self, project: int, tasks: Sequence[int], *, fields: Sequence[str], **options: Any
    ) -> Iterator[list[Json]]:
        yield [task for task in self.changed if task["id"] in set(tasks)]

    def existing(self, project: int, tasks: Sequence[int]) -> set[int]:
        return set(tasks)

    def import_predictions(self, project: int, rows: Sequence[Json]) -> int:
        self.published += len(rows)
        return len(rows)

    def create_prediction(self, row: Json) -> None:
        self.published += 1

    def update_project(self, project: int, **values: Any) -> Json:
        self._project |= values
        return self._project

    def save_tab(self, project: int, title: str, data: Json) -> int:
        return 1


def annotated(task: int, label: str, annotation: int) -> Json:
    """Return a labeled task as Label Studio's API shows it."""
    now = datetime.now(UTC).isoformat()
    value = {"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
    said = {"id": annotation, "updated_at": now, "completed_by": 1, "was_cancelled": False, "result": [value]}
    row = {"id": task, "data": {"image": f"u{task}"}, "updated_at": now, "annotations": [said]}
    return row | {"total_annotations": 1, "cancelled_annotations": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=1000, help="labels before the cycle that is timed")
    parser.add_argument("--classes", type=int, default=10)
    arguments = parser.parse_args()
    n, labels, classes = arguments.tasks, arguments.labels, [f"class {i}" for i in range(arguments.classes)]
    choices = "".join(f'<Choice value="{name}"/>' for name in classes)
    config = (
        f'<View><Image name="image" value="$image"/><Choices name="choice" toName="image">{choices}</Choices></View>'
    )
    rng = np.random.default_rng(0)
    truth = rng.integers(0, len(classes), size=n)
    centers = rng.normal(size=(len(classes), WIDTH))

    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        server = EmbeddedRedis(Path(folder))
        server.start()
        try:
            environment = {
                "LABELQUEUE_HOME": folder,
                "LABEL_STUDIO_API_KEY": "0" * 40,
                "LABELQUEUE_EMBEDDER": "bundled",
            }
            runtime = Runtime(Deployment.from_environment(environment))
            ref = ProjectRef(runtime.deployment.label_studio_url, 1, 1_800_000_000)
            project = Project(runtime.store, ref)
            project.register(label_config=config, setup_at=str(time.time()))
            target = parse_label_config(config)
            generation = embedding.generation_of(runtime, target, project.settings())
            project.set(
                generation=generation, image_field="image", full_at=str(time.time()), want_full="0", arrivals=str(n)
            )
            cache = runtime.cache(project, generation)
            for start in range(0, n, SHARD):
                ids = np.arange(start + 1, min(start + SHARD, n) + 1, dtype=np.int64)
                rows = (centers[truth[ids - 1]] + 3 * rng.normal(size=(len(ids), WIDTH))).astype(np.float16)
                sources = np.array([source_hash(f"u{task}") for task in ids], dtype=np.uint64)
                cache.put(Block(ids, sources, rows, rows, np.arange(len(ids) + 1, dtype=np.int64)))
            order = rng.permutation(np.arange(1, n + 1))
            seen = [annotated(int(task), classes[truth[task - 1]], i) for i, task in enumerate(order[:labels], start=1)]
            states = dict.fromkeys(range(1, n + 1), UNLABELED) | {task["id"]: ANNOTATED for task in seen}
            project.put_tasks({task: TaskRow(f"u{task}", state) for task, state in states.items()})
            book = LabelBook(project)
            book.put({task["id"]: ("", [read_annotation(raw) for raw in task["annotations"]]) for task in seen})
            book.set_complete()
            project.set(watermark=datetime.now(UTC).isoformat())
            instant = Instant(ref, config, n)
            runtime.__dict__["client"] = instant

            def tend(what: str) -> None:
                before, wall, cpu = instant.published, time.perf_counter(), time.process_time()
                with ProjectLock(project) as lock:
                    outcome = look(runtime, project, lock)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                print(f"{what:<42} {wall:6.2f} s  ({cpu:5.2f} s of CPU)  {outcome}", flush=True)
                assert instant.published > before or "holds" in outcome

            tend("first order and first training")
            for cycle in range(1, 4):
                share = share_of(labels) + 10  # enough to make training due
                fresh = order[labels : labels + share]
                instant.changed = [
                    annotated(int(task), classes[truth[task - 1]], labels + i) for i, task in enumerate(fresh, start=1)
                ]
                labels += share
                tend(f"{share} labels more: train and reorder, {cycle}")
            instant.changed = []
            project.set(live=project.get("live"))
            before = instant.published
            tend("nothing new: one look at the project")
            assert instant.published == before
        finally:
            server.stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"tasks": n, "peak_MB": round(peak), "python": platform.python_version()}))


if __name__ == "__main__":
    main()
