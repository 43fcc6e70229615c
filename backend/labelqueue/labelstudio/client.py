"""Label Studio's REST API, as far as we need it: one client for one origin and one key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import requests

from ..exceptions import LabelStudioError, NotFoundError
from .session import LabelStudioSession

__all__ = ["LabelStudio"]

Json = dict[str, Any]
PAGE = 1000
ASKED_AT_ONCE = 100  # tasks named in one address, which some servers cut at 4,096 characters; masks are large too
ANNOTATION_FIELDS = ("id", "updated_at", "completed_by", "ground_truth", "was_cancelled", "result")


class LabelStudio:
    """Client of one Label Studio server.

    Parameters
    ----------
    url : str
        Origin, with a path prefix if there is one.
    api_key : str
        Legacy token (40 hex digits) or personal access token (a JWT, exchanged for short-lived access tokens).

    See `LabelStudioSession` for what is sent, where, and which errors come back.
    """

    def __init__(self, url: str, api_key: str) -> None:
        self._session = LabelStudioSession(url, api_key)
        self.origin = self._session.origin
        self._json = self._session.json

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

    def whoami(self) -> Json:
        """Return the user our key belongs to."""
        user: Json = self._json("GET", "/api/current-user/whoami")
        return user

    def project(self, project: int) -> Json:
        """Return one project."""
        found: Json = self._json("GET", f"/api/projects/{project}")
        return found

    def model_versions(self, project: int) -> list[str]:
        """Return the versions of the predictions that the project has."""
        return [str(version) for version in self._json("GET", f"/api/projects/{project}/model-versions/")]

    def ml_backends(self, project: int) -> list[Json]:
        """Return the project's ML backends."""
        return list(self._json("GET", f"/api/ml?project={project}"))

    def tasks(self, project: int, *, since: datetime | None = None, fields: Sequence[str]) -> Iterator[Json]:
        """Yield tasks, oldest change first when `since` is given, else by id.

        Parameters
        ----------
        since : datetime, optional
            Aware time; only tasks updated after it.
        fields : sequence of str
            Task fields to read; fewer is much cheaper.
        """
        query: Json = {"ordering": ["tasks:id"]}
        if since is not None:
            # Label Studio parses exactly this form.
            when = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            newer = {"filter": "filter:tasks:updated_at", "operator": "greater", "type": "Datetime", "value": when}
            query = {
                "filters": {"conjunction": "and", "items": [newer]},
                "ordering": ["tasks:updated_at"],
            }
        page = 1
        while True:
            parameters = {
                "project": project,
                "page": page,
                "page_size": PAGE,
                "include": ",".join(fields),
                "query": json.dumps(query),
            }
            try:
                answer = self._json("GET", f"/api/tasks?{urlencode(parameters)}")
            except NotFoundError:
                if page == 1:
                    raise
                return  # tasks were deleted while we paged
            yield from answer["tasks"]
            if page * PAGE >= answer["total"]:
                return
            page += 1

    def existing(self, project: int, tasks: Sequence[int]) -> set[int]:
        """Return those of `tasks` that still exist in the project."""
        return {task["id"] for batch in self._selected(project, tasks, include="id") for task in batch}

    def annotated(self, project: int, tasks: Sequence[int], fields: Sequence[str]) -> Iterator[list[Json]]:
        """Yield those of `tasks` that still exist, in batches, each with all of its annotations, skips included.

        Parameters
        ----------
        tasks : sequence of int
            Task ids.
        fields : sequence of str
            Task fields to read besides.

        Notes
        -----
        It costs about as much for a hundred tasks as two requests for the annotations of one task each, and those would
        leave out the skips. A task's own fields are read before its annotations: what changes in between is in the
        annotations already, and moves the task's ``updated_at`` after.
        """
        # One list names the fields of tasks and of the annotations inside. `review` keeps Label Studio from computing
        # every column of the Data Manager: some join each annotation with each prediction of the task.
        include = ",".join([*fields, "annotations", *ANNOTATION_FIELDS])
        for batch in self._selected(project, tasks, include=include, fields="all", review="true"):
            for task in batch:
                if any("result" not in annotation for annotation in task.get("annotations", [{}])):
                    raise LabelStudioError(
                        f"Label Studio at {self.origin} shows task {task['id']} without its annotations' results: "
                        "this version is not one that labelqueue can read labels from (see its README)"
                    )
            yield batch

    def _selected(self, project: int, tasks: Sequence[int], **options: str) -> Iterator[list[Json]]:
        for start in range(0, len(tasks), ASKED_AT_ONCE):
            chosen = {"selectedItems": {"all": False, "included": list(tasks[start : start + ASKED_AT_ONCE])}}
            query = json.dumps(chosen, separators=(",", ":"))
            parameters = {"project": project, "page_size": ASKED_AT_ONCE, "query": query, **options}
            yield self._json("GET", f"/api/tasks?{urlencode(parameters, safe=',:')}")["tasks"]

    # -- writing

    def update_project(self, project: int, **values: Any) -> Json:
        """Change fields of a project."""
        changed: Json = self._json("PATCH", f"/api/projects/{project}", json=values)
        return changed

    def import_predictions(self, project: int, predictions: Sequence[Json]) -> int:
        """Import predictions in one transaction; return how many were created.

        Label Studio silently drops rows it does not like and recounts the whole project, whatever their number.
        """
        answer = self._json("POST", f"/api/projects/{project}/import/predictions", json=list(predictions))
        return int(answer.get("created", 0))

    def create_prediction(self, prediction: Json) -> None:
        """Create one prediction; its cost does not depend on the project's size."""
        self._json("POST", "/api/predictions/", json=prediction)

    def secure_webhooks(self, project: int, backend_url: str, headers: dict[str, str]) -> int:
        """Give our webhooks of a project these headers; return how many of ours exist there."""
        ours = 0
        for hook in self._json("GET", f"/api/webhooks/?project={project}"):
            if hook["url"].rstrip("/") != f"{backend_url.rstrip('/')}/webhook":
                continue
            ours += 1
            if any((hook.get("headers") or {}).get(key) != value for key, value in headers.items()):
                merged = {**(hook.get("headers") or {}), **headers}
                self._json("PATCH", f"/api/webhooks/{hook['id']}/", json={"headers": merged})
        return ours

    def save_tab(self, project: int, title: str, data: Json) -> int:
        """Create or update the Data Manager tab of this title; return its id."""
        path = f"/api/dm/views/?project={project}"
        tabs = self._json("GET", path)
        if not tabs:  # the tab people start with is only shown while there is no other: make it a real one
            self._json("POST", path, json={"project": project, "data": {"title": "Default"}})
        body = {"project": project, "data": {**data, "title": title}}
        for tab in tabs:
            if (tab.get("data") or {}).get("title") == title:
                if any(tab["data"].get(key) != value for key, value in data.items()):
                    self._json("PATCH", f"/api/dm/views/{tab['id']}/?project={project}", json=body)
                return int(tab["id"])
        return int(self._json("POST", path, json=body)["id"])
