"""Sends webhooks at a fixed rate, from a process of its own, and prints how long each took to be acknowledged.

`python -m chaos.caller URL RATE SECONDS PROJECT CREATED_AT TASK…` prints milliseconds and statuses as JSON.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 10.0  # seconds


def send(host: str, body: dict[str, Any], at: float) -> tuple[float, int]:
    """Send an event at its time, on a line of its own as Label Studio does; return milliseconds and status."""
    content = json.dumps(body).encode()
    time.sleep(max(0.0, at - time.perf_counter()))
    began = time.perf_counter()
    line = http.client.HTTPConnection(host, timeout=TIMEOUT)
    try:
        line.request("POST", "/webhook", content, {"Content-Type": "application/json"})
        answer = line.getresponse()
        answer.read()
        status = answer.status
    except (OSError, http.client.HTTPException):
        status = 0
    finally:
        line.close()
    return 1000 * (time.perf_counter() - began), status


def main() -> None:
    url, rate, seconds, project, created_at, *tasks = sys.argv[1:]
    about = {"id": int(project), "created_at": created_at, "label_config": "<View/>" * 50}
    start = time.perf_counter() + 0.5

    def one(number: int) -> tuple[float, int]:
        task = int(tasks[number % len(tasks)])
        said = {"id": number, "completed_by": 1, "result": [{"value": {"choices": ["disc"]}}] * 20}
        event = {"action": "ANNOTATION_UPDATED", "annotation": said, "project": about, "task": {"id": task}}
        if number % int(10 * float(rate)) == 0:
            event = {"action": "START_TRAINING", "project": about}
        return send(urlsplit(url).netloc, event, start + number / float(rate))

    with ThreadPoolExecutor(32) as pool:
        print(json.dumps([*pool.map(one, range(int(float(rate) * float(seconds))))]))


if __name__ == "__main__":
    main()
