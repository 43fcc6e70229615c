"""One Redis and several machines that share nothing else: other hosts, other disks, clocks that differ by a minute.

One machine holds Redis, the web process and a tending worker, three embed, one stands by. One of the three is killed in
the middle of a shard, the cable of another is pulled; nothing is missing, nothing is there twice, no image is blamed,
and the order is the one that a single worker on a single machine makes.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import closing
from types import SimpleNamespace

import pytest
import redis
import requests

from e2e.machines import CannotError, room
from labelqueue.jobs.living import signs
from labelqueue.settings import Deployment
from labelqueue.state.pattern_cache import PatternCache
from labelqueue.state.project import Project
from labelqueue.store.redis_connection import connect
from labelqueue.store.redis_server import find_server
from processes import until as until_soon

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    '<Choice value="disc"/><Choice value="star"/></Choices></View>'
)
COUNT = 192  # images, six shards
USER, PASSWORD = "label-studio", "p@ss/word#1"
REDIS_PASSWORD = "between-machines"


def until(condition, seconds, what):
    """Wait, and leave the processor to those that are waited for."""
    return until_soon(lambda: condition() or time.sleep(0.3), seconds, what)


@pytest.fixture(scope="module")
def machines():
    try:
        with room() as made:
            yield made
    except CannotError as error:
        pytest.skip(f"no machines can be had here, which takes root and network namespaces: {error}")


def vectors_of(store, number, folder):
    """The project's ids and vectors, as they are in Redis, and what is counted of them."""
    project = next(one for one in Project.all(store) if one.ref.id == number)
    cache = PatternCache(project, project.get("generation"), folder / "spool")
    rows = cache.load(cache.columns()[0])
    return SimpleNamespace(
        project=project,
        generation=cache.generation,
        ids=rows.ids.tolist(),
        vectors=rows.embeddings,
        hashes=rows.hashes,
        stored=int(store.get(project.name("cache", cache.generation, "stored"))),
    )


@pytest.fixture(scope="module")
def single(api, serve, drawn, tmp_path_factory):
    """What one worker on one machine makes of a project: its vectors and its order."""
    number = api.create_project("machines", CONFIG)
    api.import_images(number, drawn(COUNT))
    with serve() as backend:
        api.connect(number, backend.url)
        until(lambda: backend.get(f"/projects/{number}").get("covers") == COUNT, 240, "an order of all images")
        order = [row["task"] for row in backend.get(f"/projects/{number}/order?limit=1000")["tasks"]]
        with closing(connect(Deployment.from_environment(backend.environment))) as store:
            found = vectors_of(store, number, tmp_path_factory.mktemp("single"))
        api.disconnect(number)
        until(lambda: backend.get(f"/projects/{number}")["paused"], 120, "the end of the connection")
    found.number, found.order = number, order
    return found


class Installation:
    """labelqueue on the machines, as a person starts it there."""

    def __init__(self, machines, label_studio, token):
        self._machines = machines
        self.main = machines.add("main", skew=0.0)
        machines.let_in(label_studio.port)
        self.url = f"http://{self.main.address}:9090"
        self.environ = {
            "LABEL_STUDIO_URL": f"http://10.213.77.1:{label_studio.port}",
            "LABEL_STUDIO_HOST": label_studio.url,
            "LABEL_STUDIO_API_KEY": token,
            "LABELQUEUE_EMBEDDER": "bundled",
            "REDIS_URL": f"redis://:{REDIS_PASSWORD}@{self.main.address}:6379/0",
            "BASIC_AUTH_USER": USER,
            "BASIC_AUTH_PASS": PASSWORD,
            "OMP_NUM_THREADS": "1",
        }
        program = find_server(self.main.disk).program
        self.main.run(
            str(program), "--bind", self.main.address, "--port", "6379", "--save", "", "--requirepass", REDIS_PASSWORD,
            "--appendonly", "yes", "--dir", str(self.main.home),
        )  # fmt: skip
        self.store = redis.Redis.from_url(self.environ["REDIS_URL"])
        until(self._answers, 30, "Redis")

    def _answers(self):
        try:
            return self.store.ping()
        except redis.RedisError:
            return False

    def start(self, machine, *command):
        return machine.labelqueue(*command, **self.environ, HOST=self.main.address, PORT="9090")

    def get(self, path):
        answer = requests.get(f"{self.url}{path}", auth=(USER, PASSWORD), timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def alive(self, kind):
        """The machines on which a worker of a kind lives."""
        return {sign.machine for sign in signs(self.store) if sign.kind == kind}

    def caught(self, project, workers):
        """Stop one of these workers (machine to process) in the middle of a shard; return its machine and the tasks."""

        def amid():
            for job, raw in self.store.hgetall(project.name("inflight")).items():
                entry = json.loads(raw)
                for machine, process in workers.items():
                    if entry["worker"].startswith(f"embedding-{machine.name}-"):
                        os.kill(process.pid, signal.SIGSTOP)
                        if self.store.scard(project.name("at_work", job.decode())):
                            return machine, entry["ids"]
                        os.kill(process.pid, signal.SIGCONT)
            return None

        return until_soon(amid, 180, "a shard that a worker is at")


@pytest.fixture(scope="module")
def installation(machines, label_studio, api):
    """Redis with a password, web and tending worker on one machine, whose web process is half a minute ahead."""
    found = Installation(machines, label_studio, "5" * 40)
    found.main.skew = 30.0
    found.start(found.main, "web")
    found.main.skew = 0.0
    found.tending = found.start(found.main, "worker", "tending")

    def answers():
        try:
            return requests.get(f"{found.url}/health", timeout=2).ok
        except requests.RequestException:
            return False

    try:
        until(answers, 60, "the web process")
        yield found
    finally:
        found.store.close()
        for machine in machines.machines.values():
            print(f"--- {machine.name}\n{machine.log[-4000:]}")


def test_a_killed_worker_and_a_cut_cable_cost_a_shard_each_and_the_order_is_that_of_one_machine(
    machines, installation, single, api, tmp_path
):
    red, green, blue = (
        machines.add(name, skew=skew) for name, skew in (("red", 30.0), ("green", -30.0), ("blue", 0.0))
    )
    workers = {one: installation.start(one, "worker", "embedding") for one in (red, green)}
    until(lambda: installation.alive("embedding") == {"red", "green"}, 120, "two embedding workers")
    api.connect(single.number, installation.url, user=USER, password=PASSWORD)
    project = until(lambda: next(iter(Project.all(installation.store)), None), 30, "the project")

    first, lost = installation.caught(project, workers)
    workers.pop(first).kill()
    killed = time.monotonic()
    second, _ = installation.caught(project, workers)
    with second.unplugged():
        os.kill(workers[second].pid, signal.SIGCONT)
        installation.start(blue, "worker", "embedding")

        def embedded():
            generation = project.get("generation")
            rows = installation.store.hmget(project.name("cache", generation, "rows"), [str(task) for task in lost])
            return all(rows)

        until(embedded, 240, "the shard of the killed worker")
        print(f"the shard of the killed worker is embedded after {time.monotonic() - killed:.1f} s")
        until(lambda: _all(installation, project), 240, "all images")
    plugged = time.monotonic()
    until(lambda: installation.alive("embedding") == {second.name, "blue"}, 60, "the worker, by itself")
    print(f"the machine that was cut off is back {time.monotonic() - plugged:.1f} s after its cable")
    assert workers[second].poll() is None, "it went on; nobody started it again"

    until(lambda: installation.get(f"/api/v1/projects/{single.number}").get("covers") == COUNT, 240, "an order")
    found = vectors_of(installation.store, single.number, tmp_path)
    assert found.ids == single.ids, "nothing is missing"
    assert found.stored == COUNT, "nothing was stored twice"
    assert not found.project.quarantined() and not installation.store.exists(found.project.name("deaths"))
    assert found.generation == single.generation
    assert found.vectors.tobytes() == single.vectors.tobytes(), "whichever machine embedded them, bit for bit"
    assert found.hashes.tolist() == single.hashes.tolist()
    order = installation.get(f"/api/v1/projects/{single.number}/order?limit=1000")["tasks"]
    assert [row["task"] for row in order] == single.order


def _all(installation, project):
    return installation.store.hlen(project.name("cache", project.get("generation"), "rows")) == COUNT


def test_another_machine_takes_over_the_queue_and_changes_nothing_without_a_reason(machines, installation, single, api):
    """Its disk is empty and its clock is behind: what it needs is in Redis, and in Label Studio."""
    number, path = single.number, f"/api/v1/projects/{single.number}"
    before = installation.get(path)
    standby = machines.add("standby", skew=-30.0)
    assert not list(standby.disk.iterdir())
    second = installation.start(standby, "worker", "tending")
    until(lambda: installation.alive("tending") == {"main", "standby"}, 60, "the second tending worker")
    told = installation.get(path)
    assert told["workers_by_machine"]["standby"] == {"tending": 1}
    (workers,) = [one for one in installation.get(f"{path}/doctor")["findings"] if one["check"] == "workers"]
    assert workers["state"] == "well" and "on 4 machines: blue, " in workers["told"]

    installation.tending.kill()
    killed = time.monotonic()
    done = single.order[:3]
    for task in done:
        api.annotate(task, "disc")
    until(lambda: installation.get(path)["labeled"] == 3, 60, "the labels")
    print(f"the labels are known {time.monotonic() - killed:.1f} s after the kill")
    until(lambda: installation.alive("tending") == {"standby"}, 30, "the end of the first one's sign")
    after = installation.get(path)
    assert after["version"] == before["version"], "nothing asked for a new order"
    order = [row["task"] for row in installation.get(f"{path}/order?limit=1000")["tasks"]]
    assert order == single.order[3:]
    assert api.next(number)["id"] == order[0]

    for place, task in enumerate(order[:20]):
        api.annotate(task, ("disc", "star")[place % 2])
    now = until(lambda: (found := installation.get(path))["version"] != before["version"] and found, 120, "an order")
    print(f"an order of {COUNT} images with labels: {now['version']}, {time.monotonic() - killed:.1f} s after the kill")
    assert now["covers"] == COUNT and not now["error"] and second.poll() is None
    assert any(path.is_file() and path.name != "log" for path in standby.disk.rglob("*")), "it has copies of its own"


def test_a_tending_worker_that_names_another_label_studio_is_refused(machines, installation):
    stranger = machines.add("stranger")
    environ = installation.environ | {"LABEL_STUDIO_URL": "http://10.213.77.1:1"}
    process = stranger.labelqueue("worker", "tending", **environ)
    assert process.wait(timeout=60) == 1
    assert "LABEL_STUDIO_URL is http://10.213.77.1:1 here and" in stranger.log and "on standby" in stranger.log
