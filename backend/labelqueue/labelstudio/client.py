"""Label Studio's REST API, as far as we need it: one client for one origin and one key."""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlencode

import requests

from ..exceptions import CredentialError, LabelStudioError
from .queries import ANNOTATION_FIELDS, having, listing
from .records import (
    Hooks,
    Json,
    Skipped,
    TaskRecord,
    check_results,
    clock_ahead,
    hook_change,
    ids_of,
    is_id,
    name_among,
    objects,
    one_object,
    parsed,
    predictions_in,
    records,
    task_records,
)
from .session import TIMEOUT, LabelStudioSession

__all__ = ["SAMPLING", "LabelStudio"]

SAMPLING = "Uncertainty sampling"  # of a project that serves low prediction scores first

PAGE = 1000
PROJECTS = 100  # on a page of their list, which Label Studio makes no longer
ASKED_AT_ONCE = 100  # tasks named in one address, which some servers cut at 4,096 characters; masks are large too
NAME_KEPT, ROW_SECONDS = 600.0, 0.02  # that its name counts, and that an import may take for each prediction
REFUSALS = 200  # pages that Label Studio cannot show, in one reading, until no more is looked for in them
# Label Studio lists predictions of one version by their tasks only; `review` keeps it from computing every column of
# the Data Manager.
PREDICTIONS = {"include": "id,predictions,model_version,score", "fields": "all", "review": "true"}


class LabelStudio:
    """Client of one Label Studio server.

    Parameters
    ----------
    url : str
        Origin, with a path prefix if there is one.
    api_key : str
        Legacy token (40 hex digits) or personal access token (a JWT, exchanged for short-lived access tokens).
    **options
        `ca_bundle`, `timeout` and `retries` of the session.

    See `LabelStudioSession` for what is sent, where, and which errors come back.
    """

    def __init__(self, url: str, api_key: str, **options: Any) -> None:
        self._session = LabelStudioSession(url, api_key, **options)
        self.origin = self._session.origin
        self._json = self._session.json
        self._named: tuple[str, float] | None = None

    def guarded(self, check: Callable[[], None]) -> Self:
        """Return this client with a check that is called right before each request that changes something; see
        `LabelStudioSession.guarded`."""
        guarded = copy.copy(self)
        guarded._session = self._session.guarded(check)
        guarded._json = guarded._session.json
        return guarded

    def get_file(self, path: str, timeout: float = 20.0) -> requests.Response:
        """Open a file of this server with our key; the caller reads the stream and handles redirects.

        Parameters
        ----------
        path : str
            Path below the origin, such as ``/data/upload/1/cat.jpg``.
        timeout : float
            Seconds to connect and for each read. Nothing is tried again here: one slow file must not hold up others.
        """
        return self._session.request("GET", path, again=False, stream=True, timeout=timeout)

    # -- reading

    def about(self, *, again: bool = True) -> tuple[Json, float | None]:
        """Return what the server says of its version, and by how many seconds its clock is ahead of ours; None when it
        does not tell the time. Without `again` it is asked once only."""
        answer = self._session.request("GET", "/api/version/", again=again)
        ahead = clock_ahead(answer.headers.get("Date"), time.time())
        try:
            return one_object(parsed(answer.content), "version"), ahead
        except ValueError as error:
            raise LabelStudioError(
                f"{self.origin}/api/version/ answered without JSON: is LABEL_STUDIO_URL a Label Studio?",
                status=answer.status_code,
            ) from error

    def hostname(self) -> str:
        """Return how Label Studio names itself, its LABEL_STUDIO_HOST; empty when it does not say.

        It begins the addresses of images that Label Studio writes, and those of its templates' pictures, which tell it.
        Asked again after `NAME_KEPT` seconds.
        """
        if self._named is None or time.monotonic() > self._named[1] + NAME_KEPT:
            try:
                answer = self._json("GET", "/api/templates/")
            except LabelStudioError as error:
                if isinstance(error, CredentialError) or error.status is None or error.status >= 500:
                    raise
                answer = None  # a version that has none
            self._named = name_among(answer), time.monotonic()
        return self._named[0]

    def whoami(self) -> Json:
        """Return the user our key belongs to."""
        return one_object(self._json("GET", "/api/current-user/whoami"), "user")

    def project(self, project: int) -> Json:
        """Return one project."""
        return one_object(self._json("GET", f"/api/projects/{project}"), "project", id=int, label_config=str)

    def projects(self, *, odd: bool = False) -> list[Json]:
        """Return every project that our key may see: `id`, `title` and `created_at` of each.

        Parameters
        ----------
        odd : bool
            Whether rows may be left out that cannot be read. Else what is missing in the list proves something.

        Raises
        ------
        LabelStudioError
            If the list is not complete, for whatever reason.
        """
        found: dict[int, Json] = {}
        promised = left_out = 0
        for page in itertools.count(1):
            path = f"/api/projects?include=id,title,created_at&page_size={PROJECTS}&page={page}"
            answer = one_object(self._json("GET", path), "list of projects", count=int, results=list)
            promised = promised or answer["count"]
            if answer["count"] != promised:  # pages shift: one may have been missed
                raise LabelStudioError(f"Label Studio's list of projects changed while page {page} of it was read")
            listed, before = answer["results"], len(found) + left_out
            if odd:
                listed = [row for row in listed if isinstance(row, dict) and is_id(row.get("id"))]
                left_out += len(answer["results"]) - len(listed)
            found |= {row["id"]: row for row in (one_object(row, "project", id=int) for row in listed)}
            seen = len(found) + left_out
            if seen == promised:
                break
            if seen == before or seen > promised:
                raise LabelStudioError(f"Label Studio lists {seen} projects and says that there are {promised}")
        return list(found.values())

    def people(self) -> list[Json]:
        """Return the users that our key may see."""
        return objects(self._json("GET", "/api/users"), "user", Skipped())

    def prediction_counts(self, project: int) -> dict[str, int]:
        """Return how many predictions of each version the project has."""
        versions = self._json("GET", f"/api/projects/{project}/model-versions/")
        counts = one_object(versions, "counts of model versions")
        return {version: count for version, count in counts.items() if isinstance(count, int)}

    def ml_backends(self, project: int, *, skipped: Skipped | None = None) -> list[Json]:
        """Return the project's ML backends; those that cannot be read go to `skipped`."""
        return objects(self._json("GET", f"/api/ml?project={project}"), "ML backend", skipped or Skipped())

    def tasks(
        self,
        project: int,
        *,
        since: datetime | None = None,
        after: int = 0,
        fields: Sequence[str],
        skipped: Skipped | None = None,
    ) -> Iterator[TaskRecord]:
        """Yield tasks by id.

        Parameters
        ----------
        since : datetime, optional
            Aware time; only tasks updated after it.
        after : int, default 0
            Only tasks with a higher id.
        fields : sequence of str
            Task fields to read, the id among them; fewer is much cheaper.
        skipped : Skipped, optional
            Gets the tasks that cannot be read, or that Label Studio itself cannot show.

        Notes
        -----
        Each page is asked for by the last id of the page before: numbers of pages shift when a task is deleted, and
        then living tasks would be passed over.
        """
        skipped, include, place = skipped or Skipped(), ",".join(fields), 1
        while True:
            parameters = {"project": project, "page_size": PAGE, "query": listing(since, after)}
            try:
                rows, left = self._page({**parameters, "include": include})
                ids = ids_of(rows)
            except LabelStudioError as error:
                if error.status != 500:
                    raise
                # One task that it cannot show takes its page along. Ids can always be listed.
                rows, left = self._page({**parameters, "include": "id"})
                ids, n = [task["id"] for task in task_records(rows, ("id",), skipped, place)], len(rows)
                rows = [
                    row for batch in self._selected(project, ids, skipped, "task", include=include) for row in batch
                ]
            else:
                n = len(rows)
            yield from task_records(rows, fields, skipped, place)
            if n >= left:
                return
            if not ids or max(ids) <= after:
                raise LabelStudioError(
                    f"Label Studio at {self.origin} does not list the tasks after {after} by id: "
                    "this version is not one that labelqueue can read (see its README)"
                )
            after, place = max(ids), place + n

    def newest_change(self, project: int) -> str:
        """Return when a task of the project was changed last, as Label Studio says it; empty without tasks."""
        query = json.dumps({"ordering": ["-tasks:updated_at"]})
        rows, _ = self._page({"project": project, "page_size": 1, "include": "id,updated_at", "query": query})
        return next((row["updated_at"] for row in task_records(rows, ("id", "updated_at"), Skipped())), "")

    def existing(self, project: int, tasks: Sequence[int]) -> set[int]:
        """Return those of `tasks` that still exist in the project."""
        pages = self._selected(project, tasks, Skipped(), "task", include="id")
        return {task["id"] for page in pages for task in task_records(page, ("id",), Skipped())}

    def predicted(self, project: int, version: str) -> set[int]:
        """Return the tasks that have a prediction of a version, or of one whose name contains it."""
        parameters = {"project": project, "page_size": PAGE, "include": "id", "query": having(version)}
        found, page = set[int](), 1
        while True:
            rows, total = self._page({**parameters, "page": page})
            found |= {task["id"] for task in task_records(rows, ("id",), Skipped())}
            if page * PAGE >= total:
                return found
            page += 1

    def predictions_of(self, project: int, version: str, limit: int) -> list[int]:
        """Return the ids of some predictions of a version, at most `limit` of them; none when there are none."""
        parameters = {"project": project, "page_size": limit, "query": having(version), **PREDICTIONS}
        found, page = list[int](), 1
        while len(found) < limit:
            rows, total = self._page({**parameters, "page": page})
            found += [prediction for _, prediction, _ in predictions_in(rows, version)]
            if page * limit >= total:
                break
            page += 1
        return found[:limit]

    def predictions_at(self, project: int, version: str, tasks: Sequence[int]) -> list[tuple[int, int, float | None]]:
        """Return the predictions of a version that some tasks have: task, id and score."""
        pages = self._selected(project, tasks, Skipped(), "task", **PREDICTIONS)
        return [one for page in pages for one in predictions_in(page, version)]

    def annotated(
        self, project: int, tasks: Sequence[int], fields: Sequence[str], *, skipped: Skipped | None = None
    ) -> Iterator[list[TaskRecord]]:
        """Yield those of `tasks` that still exist, in batches, each with all of its annotations, skips included.

        Parameters
        ----------
        tasks : sequence of int
            Task ids.
        fields : sequence of str
            Task fields to read besides.
        skipped : Skipped, optional
            Gets the tasks and annotations that cannot be read, or that Label Studio itself cannot show.

        Notes
        -----
        It costs about as much for a hundred tasks as two requests for the annotations of one task each, and those would
        leave out the skips. A task's own fields are read before its annotations: what changes in between is in the
        annotations already, and moves the task's ``updated_at`` after.
        """
        # One list names the fields of tasks and of the annotations inside. `review` keeps Label Studio from computing
        # every column of the Data Manager: some join each annotation with each prediction of the task.
        include = ",".join([*fields, "annotations", *ANNOTATION_FIELDS])
        skipped = skipped or Skipped()
        options = {"include": include, "fields": "all", "review": "true"}
        for batch in self._selected(project, tasks, skipped, "annotations of task", **options):
            check_results(batch, self.origin)
            yield list(task_records(batch, ("id", *fields, "annotations"), skipped))

    def _page(self, parameters: Json, safe: str = "") -> tuple[list[Any], int]:
        return records(self._json("GET", f"/api/tasks?{urlencode(parameters, safe=safe)}"))

    def _selected(
        self, project: int, tasks: Sequence[int], skipped: Skipped, what: str, **options: str
    ) -> Iterator[list[Any]]:
        """Yield named tasks in batches, as they are; a batch that Label Studio cannot show is halved down to the tasks
        that it cannot show."""
        parts = [list(tasks[start : start + ASKED_AT_ONCE]) for start in range(0, len(tasks), ASKED_AT_ONCE)]
        parts.reverse()
        refusals, shown, again = 0, False, [-1]
        while parts:
            part = parts.pop()
            chosen = {"selectedItems": {"all": False, "included": part}}
            query = json.dumps(chosen, separators=(",", ":"))
            try:
                rows, _ = self._page({"project": project, "page_size": ASKED_AT_ONCE, "query": query, **options}, ",:")
            except LabelStudioError as error:
                if error.status != 500:
                    raise
                refusals += 1
                if refusals > REFUSALS and not shown:  # it is the server, not a task
                    raise
                if len(part) > 1 and refusals <= REFUSALS:
                    parts += [part[len(part) // 2 :], part[: len(part) // 2]]
                elif len(part) == 1 and again != part:  # a database that was locked is another matter
                    again = part
                    parts.append(part)
                else:
                    amid = "" if len(part) == 1 else ", amid many others that it cannot"
                    for task in part:
                        skipped.add(f"{what} {task}", f"Label Studio itself cannot show it (error 500){amid}")
                continue
            shown = True
            yield rows

    def webhooks(self, project: int, *, skipped: Skipped | None = None) -> list[Json]:
        """Return the project's webhooks; those that cannot be read go to `skipped`."""
        return objects(self._json("GET", f"/api/webhooks/?project={project}"), "webhook", skipped or Skipped())

    # -- writing

    def update_project(self, project: int, **values: Any) -> Json:
        """Change fields of a project."""
        return one_object(self._json("PATCH", f"/api/projects/{project}", json=values), "project")

    def update_backend(self, backend: int, **values: Any) -> None:
        """Change fields of an ML backend; `url` and `project` have to be among the values, and it calls /setup."""
        self._json("PATCH", f"/api/ml/{backend}", json=values)

    def import_predictions(self, project: int, predictions: Sequence[Json]) -> int:
        """Import predictions at once, which recounts the project; return how many it did not silently drop."""
        timeout = TIMEOUT[0], TIMEOUT[1] + ROW_SECONDS * len(predictions)
        answer = self._json("POST", f"/api/projects/{project}/import/predictions", json=[*predictions], timeout=timeout)
        return int(one_object(answer, "import", created=int)["created"])

    def create_prediction(self, prediction: Json) -> None:
        """Create one prediction; its cost does not depend on the project's size."""
        self._json("POST", "/api/predictions/", json=prediction)

    def move_prediction(self, prediction: int, score: float) -> None:
        """Give a prediction another score; `NotFoundError` when it is gone."""
        self._json("PATCH", f"/api/predictions/{prediction}/", json={"score": score})

    def delete_prediction(self, prediction: int) -> None:
        """Delete one prediction; `NotFoundError` when it is gone."""
        self._json("DELETE", f"/api/predictions/{prediction}/")

    def secure_webhooks(
        self, project: int, backend_url: str, headers: dict[str, str], *, skipped: Skipped | None = None
    ) -> Hooks:
        """Give our webhooks of a project these headers, and switch on those that are off."""
        ours = revived = 0
        for hook in self.webhooks(project, skipped=skipped):
            if hook["url"].rstrip("/") != f"{backend_url.rstrip('/')}/webhook":
                continue
            ours += 1
            change = hook_change(hook, headers)
            revived += "is_active" in change
            if change:
                self._json("PATCH", f"/api/webhooks/{hook['id']}/", json=change)
        return Hooks(ours, revived)

    def save_tab(self, project: int, title: str, data: Json, *, skipped: Skipped | None = None) -> int:
        """Create or update the Data Manager tab of this title; return its id."""
        path = f"/api/dm/views/?project={project}"
        tabs = objects(self._json("GET", path), "tab", skipped or Skipped())
        if not tabs:  # the tab people start with is only shown while there is no other: make it a real one
            self._json("POST", path, json={"project": project, "data": {"title": "Default"}})
        body = {"project": project, "data": {**data, "title": title}}
        for tab in tabs:
            before: Any = tab.get("data")
            if isinstance(before, dict) and before.get("title") == title:
                if any(before.get(key) != value for key, value in data.items()):
                    self._json("PATCH", f"/api/dm/views/{tab['id']}/?project={project}", json=body)
                return int(tab["id"])
        return int(one_object(self._json("POST", path, json=body), "tab", id=int)["id"])
