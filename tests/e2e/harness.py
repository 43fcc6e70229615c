"""A person's view of Label Studio for tests, and backends that a test starts and stops."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from labelqueue.exceptions import LabelStudioError
from labelqueue.labelstudio.session import LabelStudioSession

Json = dict[str, Any]
BROUGHT = ("annotation", "prediction")  # by tasks that are imported
IMPORTS = 5  # of the same tasks, until none of what they bring along is lost


def free_port() -> int:
    """Return a port nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LabelStudioApi:
    """One Label Studio user, through the REST API."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._session = LabelStudioSession(url, token, timeout=(5, 180))
        self.close = self._session.close

    def call(self, method: str, path: str, **options: Any) -> Any:
        try:
            return self._session.json(method, path, **options)
        except LabelStudioError as error:
            raise AssertionError(str(error)) from error

    # -- projects

    def create_project(self, title: str, label_config: str) -> int:
        return int(self.call("POST", "/api/projects", json={"title": title, "label_config": label_config})["id"])

    def project(self, project: int) -> Json:
        return self.call("GET", f"/api/projects/{project}")

    def update_project(self, project: int, **values: Any) -> Json:
        return self.call("PATCH", f"/api/projects/{project}", json=values)

    def connect(self, project: int, url: str, *, extra_params: Any = None, user: str = "", password: str = "") -> None:
        body: Json = {"project": project, "url": url, "title": "labelqueue", "extra_params": extra_params}
        if user:
            body |= {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}
        self.call("POST", "/api/ml", json=body)

    def _backend(self, project: int) -> Json:
        return self.call("GET", f"/api/ml?project={project}")[0]

    def set_extra_params(self, project: int, value: Any) -> None:
        found = self._backend(project)
        body = {"url": found["url"], "project": project, "title": found["title"], "extra_params": value}
        self.call("PATCH", f"/api/ml/{found['id']}", json=body)

    def start_training(self, project: int) -> None:
        self.call("POST", f"/api/ml/{self._backend(project)['id']}/train", json={})

    def disconnect(self, project: int) -> None:
        self.call("DELETE", f"/api/ml/{self._backend(project)['id']}")

    def webhooks(self, project: int) -> list[Json]:
        return self.call("GET", f"/api/webhooks/?project={project}")

    # -- tasks

    def import_images(self, project: int, images: Sequence[tuple[str, bytes]]) -> None:
        """Upload image files over HTTP, at most 100 per request (Label Studio's own limit)."""
        for start in range(0, len(images), 100):
            files = [
                (f"file{number}", (name, data, "image/jpeg"))
                for number, (name, data) in enumerate(images[start : start + 100])
            ]
            self.call("POST", f"/api/projects/{project}/import", files=files)

    def import_tasks(self, project: int, tasks: Sequence[Json]) -> None:
        """Import tasks, with the annotations and predictions that they bring along.

        Label Studio tries an import again that met a locked SQLite database, and by then it has taken both out of the
        tasks: they are lost, and only the counts in its answer say so. Such tasks are deleted and imported once more.
        """
        whole = {f"{kind}_count": sum(len(task.get(f"{kind}s", ())) for task in tasks) for kind in BROUGHT}
        for _ in range(IMPORTS):
            answer = self.call("POST", f"/api/projects/{project}/import?return_task_ids=true", json=list(tasks))
            if whole.items() <= answer.items():
                return
            self.delete_tasks(project, answer["task_ids"])
        raise AssertionError(f"Label Studio's database was locked at each of {IMPORTS} imports")

    def task_ids(self, project: int) -> list[int]:
        answer = self.call("GET", f"/api/tasks?project={project}&page_size=10000&include=id")
        return sorted(task["id"] for task in answer["tasks"])

    def delete_tasks(self, project: int, tasks: Sequence[int]) -> None:
        body = {"selectedItems": {"all": False, "included": list(tasks)}, "ordering": []}
        self.call("POST", f"/api/dm/actions?id=delete_tasks&project={project}", json=body)

    # -- labeling

    def next(self, project: int) -> Json:
        """Return the task that "Label All Tasks" opens."""
        return self.call("GET", f"/api/projects/{project}/next")

    def annotate(self, task: int, *choices: str, skip: bool = False) -> Json:
        value = {"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": list(choices)}}
        return self.submit(task, [value] if choices else [], skip=skip)

    def submit(self, task: int, result: Sequence[Json], *, skip: bool = False) -> Json:
        body = {"result": list(result), "lead_time": 1.0, "was_cancelled": skip}
        return self.call("POST", f"/api/tasks/{task}/annotations", json=body)

    def annotations(self, task: int) -> list[Json]:
        return self.call("GET", f"/api/tasks/{task}/annotations/")

    def delete_annotation(self, annotation: int) -> None:
        self.call("DELETE", f"/api/annotations/{annotation}/")

    def predictions(self, task: int, version: str) -> list[Json]:
        found = self.call("GET", f"/api/tasks/{task}/")["predictions"]
        return [prediction for prediction in found if prediction["model_version"] == version]

    def sign_up(self, email: str) -> LabelStudioApi:
        """Return another user, signed up through the organization's invitation as a person would."""
        invitation = self.call("GET", "/api/invite")["invite_url"]
        with requests.Session() as session:
            session.trust_env = False
            page = session.get(self.url + invitation, timeout=60)
            token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
            assert token, page.text[:500]
            form = {
                "csrfmiddlewaretoken": token[1],
                "email": email,
                "password": "password-123",
                "allow_newsletters": "",
            }
            answer = session.post(self.url + invitation, data=form, headers={"Referer": self.url}, timeout=60)
            assert answer.status_code == 200, answer.text[:500]
            mine = session.get(f"{self.url}/api/current-user/token", timeout=60).json()["token"]
        return LabelStudioApi(self.url, mine)


class Backend:
    """`labelqueue serve` as a child process on a free port, with a data folder of its own."""

    def __init__(self, label_studio: str, token: str, *, home: Path | None = None, port: int | None = None, **env: str):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._mine = home is None
        self.home = home or Path(tempfile.mkdtemp(prefix="lq-"))  # short: a unix socket's path is limited
        self.environment = {
            "LABEL_STUDIO_URL": label_studio,
            "LABEL_STUDIO_API_KEY": token,
            "LABELQUEUE_HOME": str(self.home),
            "LABELQUEUE_EMBEDDER": "bundled",
            "PORT": str(self.port),
            **env,
        }
        self.log = self.home / "serve.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "labelqueue", "serve"],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            try:
                if requests.get(f"{self.url}/health", timeout=2).status_code == 200:
                    return
            except requests.RequestException:
                time.sleep(0.1)

    def stop(self) -> None:
        """Stop as Ctrl-C does; the data folder stays for another start."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            assert self.process.wait(timeout=60) == 0, self.log.read_text()

    def get(self, path: str) -> Any:
        """Ask the backend's own REST API."""
        mine = self.environment
        login = (mine["BASIC_AUTH_USER"], mine["BASIC_AUTH_PASS"]) if "BASIC_AUTH_USER" in mine else None
        answer = requests.get(f"{self.url}/api/v1{path}", auth=login, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def command(self, *arguments: str) -> Any:
        """Run the command line against this backend; its JSON is parsed when `--json` is among the arguments."""
        run = subprocess.run(
            [sys.executable, "-m", "labelqueue", *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout) if "--json" in arguments else run.stdout

    def __enter__(self) -> Backend:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.stop()
        finally:
            if error[0] is not None:
                print(self.log.read_text())
            if self._mine:
                shutil.rmtree(self.home, ignore_errors=True)
