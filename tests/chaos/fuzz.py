"""Fuzz: thousands of calls that are wrong in one thing, cut, damaged or to no such place, beside people who work."""

from __future__ import annotations

import http.client
import json
import random
import string
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from calls import ODD, calls, changed, places
from chaos.judge import Judge, Verdict
from chaos.people import People
from chaos.scene import Scene

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "LINK")
NAMES = ("²", "٧", "-1", "1.5", "1" * 5000, "9" * 19, "%ED%A0%80", "%00", "%FF", "a%0Ab", "..", "", "1e3", "r2")
ENDS = (
    "", "settings", "order", "orders", "orders/1", "orders/r2", "rollback", "pause", "order?limit={}", "orders/{}",
)  # fmt: skip
PATHS = ("/", "/health", "/versions", "/setup", "/predict", "/webhook", "/train", "/metrics", "/api/v1/projects")
HEADERS = ("Authorization", "Content-Type", "X-Labelqueue-Secret", "Host", "Cookie", "Accept", "Range", "Expect")
CALLERS = 4

Call = tuple[str, str, bytes, dict[str, str]]


def fuzz(scene: Scene, *, count: int = 20_000) -> Verdict:
    """Send so many calls about a project of their own; beside it people work in another."""
    target, project = scene.project("fuzzed"), scene.project("beside the fuzz")
    kinds = calls(target, target, scene.api.project(target)["created_at"])
    statuses: Counter[str] = Counter()
    people = People(scene, project, pace=2.0)
    with Judge(scene, project, "fuzz", [people]) as judge:
        with people, ThreadPoolExecutor(CALLERS) as pool:
            began = time.monotonic()
            for one in pool.map(lambda seed: _send(scene, kinds, seed, count // CALLERS), range(CALLERS)):
                statuses.update(one)
        told = ", ".join(f"{number} × {status}" for status, number in sorted(statuses.items()))
        judge.verdict.did = f"{statuses.total():,} calls in {time.monotonic() - began:.0f} s ({told})"
        if statuses["no answer"]:
            judge.verdict.faults.append(f"{statuses['no answer']} calls without an answer")
    return judge.verdict


def _send(scene: Scene, kinds: list[tuple[str, str, Any]], seed: int, count: int) -> Counter[str]:
    """Send calls over a line that is kept; return how often which status came back."""
    dice, found = random.Random(seed), Counter[str]()
    line = http.client.HTTPConnection(urlsplit(scene.backend.url).netloc, timeout=30)
    for _ in range(count):
        method, path, body, headers = _odd_call(dice, kinds)
        for again in (True, False):  # a refused call may cost the line; the next one is sent once more
            try:
                line.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
                for key, value in {"Content-Length": str(len(body)), **headers}.items():
                    line.putheader(key, value.encode("latin-1"))
                line.endheaders(body)
                answer = line.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                line.close()
                if not again:
                    found["no answer"] += 1
            else:
                found[str(answer.status)] += 1
                with _LOCK:
                    scene.answers[answer.status] += 1
                break
    line.close()
    return found


_LOCK = threading.Lock()


def _odd_call(dice: random.Random, kinds: list[tuple[str, str, Any]]) -> Call:
    method, path, body = dice.choice(kinds)
    way = dice.random()
    if way < 0.5:
        value = dice.choice(ODD) if dice.random() < 0.7 else _anything(dice)
        return method, path, json.dumps(changed(body, dice.choice([*places(body)]), value)).encode(), {}
    if way < 0.8:
        content = json.dumps(body).encode()
        at = dice.randrange(len(content) + 1)
        return method, path, content[:at] + dice.randbytes(dice.randrange(4)) + content[at + dice.randrange(400) :], {}
    path = dice.choice(PATHS)
    if dice.random() < 0.7:
        end = dice.choice(ENDS).format(dice.choice(NAMES))
        number = kinds[-1][1].split("/")[4] if dice.random() < 0.3 else dice.choice(NAMES)
        path = f"/api/v1/projects/{number}/{end}"
    path = "".join(sign if sign.isascii() else "".join(f"%{byte:02X}" for byte in sign.encode()) for sign in path)
    headers = {dice.choice(HEADERS): _word(dice) for _ in range(dice.randrange(4))}
    if "Expect" in headers:
        headers["Expect"] = "100-continue"
    return dice.choice(METHODS), path, b"", headers


def _word(dice: random.Random) -> str:
    return "".join(dice.choice(string.ascii_letters + string.digits + " =/;ÿ") for _ in range(dice.randrange(1, 20)))


def _anything(dice: random.Random, depth: int = 0) -> Any:
    """Return any JSON."""
    kind = dice.randrange(4 if depth > 2 else 6)
    if kind == 4:
        return [_anything(dice, depth + 1) for _ in range(dice.randrange(4))]
    if kind == 5:
        return {_word(dice): _anything(dice, depth + 1) for _ in range(dice.randrange(4))}
    return (None, dice.random() < 0.5, dice.randrange(-(2**70), 2**70), _word(dice))[kind]
