"""The demo's side of Label Studio: make a project, import images over HTTP, connect the backend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType

from ..exceptions import ImageError, LabelStudioError, NotFoundError
from ..labelstudio import LabelStudioSession
from .sources import ImageFile

__all__ = ["DemoHost", "batches"]

TIMEOUT = (5.0, 300.0)  # seconds to connect and to read: a group of uploads is written before it is answered
BATCH_FILES = 50  # Label Studio refuses more than 100 files in one request
BATCH_BYTES = 32 * 1024 * 1024
BACKEND_TITLE = "labelqueue"


def batches(files: Iterator[ImageFile], bad: list[tuple[ImageFile, str]]) -> Iterator[list[tuple[ImageFile, bytes]]]:
    """Read files and yield them in groups that fit one request.

    Parameters
    ----------
    files : iterator of ImageFile
        Read one after another.
    bad : list of (ImageFile, str)
        Files that are no images are added here with the reason.
    """
    group: list[tuple[ImageFile, bytes]] = []
    size = 0
    for file in files:
        try:
            data = file.read()
        except ImageError as error:
            bad.append((file, str(error)))
            continue
        if group and (len(group) == BATCH_FILES or size + len(data) > BATCH_BYTES):
            yield group
            group, size = [], 0
        group.append((file, data))
        size += len(data)
    if group:
        yield group


class DemoHost:
    """Client of the demo's own Label Studio.

    Parameters
    ----------
    url : str
        Origin of the server.
    token : str
        Legacy token of its user.
    """

    def __init__(self, url: str, token: str) -> None:
        self._session = LabelStudioSession(url, token, timeout=TIMEOUT)
        self._call = self._session.json

    def __enter__(self) -> DemoHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def has_project(self, project: int) -> bool:
        """Return whether the project is still there."""
        try:
            self._call("GET", f"/api/projects/{project}")
        except NotFoundError:
            return False
        return True

    def create_project(self, title: str, label_config: str) -> int:
        """Create a project and return its id."""
        project = self._call("POST", "/api/projects", json={"title": title, "label_config": label_config})
        return int(project["id"])

    def task_count(self, project: int) -> int:
        """Return the number of tasks."""
        return int(self._call("GET", f"/api/projects/{project}")["task_number"])

    def upload(self, project: int, group: Sequence[tuple[ImageFile, bytes]]) -> list[tuple[ImageFile, str]]:
        """Import files as tasks.

        Returns
        -------
        list of (ImageFile, str)
            Those that Label Studio refused, and why. When it refuses a group, its files are sent one by one.
        """
        parts = [(f"file{number}", (file.name, data)) for number, (file, data) in enumerate(group)]
        try:
            self._call("POST", f"/api/projects/{project}/import", files=parts)
        except LabelStudioError as error:
            # Only a 4xx can be about the files, and not even all of those.
            if error.status is None or not 400 <= error.status < 500 or error.status in (401, 403, 404):
                raise
            if len(group) == 1:
                return [(group[0][0], str(error))]
            return [refused for one in group for refused in self.upload(project, [one])]
        return []

    def connect(self, project: int, backend: str) -> None:
        """Connect the backend to the project; when it was connected under another address, move it."""
        row = {"project": project, "url": backend, "title": BACKEND_TITLE}
        for known in self._call("GET", f"/api/ml?project={project}"):
            if known["title"] == BACKEND_TITLE:
                # Label Studio sets a backend up again when it is saved, and wants url and project in every PATCH.
                self._call("PATCH", f"/api/ml/{known['id']}", json=row)
                if known["url"] != backend:
                    self._move_webhooks(project, known["url"], backend)
                return
        self._call("POST", "/api/ml", json=row)

    def _move_webhooks(self, project: int, old: str, new: str) -> None:
        for hook in self._call("GET", f"/api/webhooks/?project={project}"):
            if hook["url"] == f"{old.rstrip('/')}/webhook":
                self._call("PATCH", f"/api/webhooks/{hook['id']}/", json={"url": f"{new}/webhook"})
