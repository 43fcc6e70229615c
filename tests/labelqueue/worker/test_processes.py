"""Workers as real processes, against real faults: a silent Redis, silent servers, kills and stalls."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from labelqueue.jobs.living import alive
from labelqueue.jobs.looks import request_tend
from labelqueue.jobs.servers import slow_servers
from labelqueue.jobs.shards import in_flight
from labelqueue.state.journal import Event, Journal
from labelqueue.state.orders import Orders
from processes import Worker, redis_server, settings, until
from studio import slow_server, studio


@pytest.fixture
def label_studio():
    with studio() as found:
        yield found


@pytest.fixture
def environ(store, redis_home, tmp_path, label_studio):
    """Settings of workers on the run's Redis, which is empty."""
    return settings(redis_home, label_studio.url)


def embedded(project):
    return project.store.hlen(project.name("cache", project.get("generation"), "rows"))


def arrived(project):
    return int(project.get("arrivals", "0"))


def test_an_idle_worker_lives_on_without_a_break(tmp_path, label_studio):
    """The client's own timeout of 5 s would end the wait for a job, and with it the worker."""
    with redis_server() as server:
        environ = settings(tmp_path, label_studio.url, server.url)
        with Worker(environ, "tending") as tending, Worker(environ, "embedding") as embedding:
            for worker in (tending, embedding):
                worker.wait_for_life()
            names, end = alive(tending.store), time.monotonic() + 8
            while time.monotonic() < end:
                assert alive(tending.store) == names and len(names) == 2
                time.sleep(0.2)
            for worker in (tending, embedding):
                assert worker.process.poll() is None and "timeout" not in worker.log.read_text().lower()
            # And it is at work at once.
            project = label_studio.add(tending.store, 1, ["/data/upload/1/1.jpg"])
            request_tend(project)
            until(lambda: project.get("read_to"), 120, "a look")


def test_a_worker_outlives_a_redis_that_stalls_and_one_that_breaks_off(tmp_path, label_studio):
    with redis_server() as server:
        environ = settings(tmp_path, label_studio.url, server.url)
        with Worker(environ, "tending") as worker:
            worker.wait_for_life()
            project = label_studio.add(worker.store, 1, [])
            with server.stalled():
                time.sleep(7)
            worker.store.client_kill_filter(_type="normal", skipme=True)
            request_tend(project)
            until(lambda: project.get("full_at"), 120, "a look")
            assert worker.process.poll() is None


def test_a_tending_worker_loads_no_torch(environ, store, label_studio):
    """It reads, learns, orders and publishes; the model's card comes from an embedding worker."""
    code = (
        "import atexit, sys; from labelqueue.cli import main\n"
        "atexit.register(lambda: print('heavy:', sorted({'torch', 'timm'} & set(sys.modules)), flush=True))\n"
        "sys.exit(main(['worker', *sys.argv[1:]]))"
    )
    project = label_studio.add(store, 1, [f"/data/upload/1/{i}.jpg" for i in range(12)])
    project.put_settings({"trials": 1}, "a test")
    with Worker(environ, "embedding") as embedding, Worker(environ, "tending", code=code) as tending:
        until(lambda: embedded(project) == 12 and Orders(project).live(), 240, "an order")
        for task in range(1000, 1006):
            label_studio.label(1, task, "cat" if task % 2 else "dog")
        project.set(retrain_wanted=str(time.time()))
        request_tend(project)
        until(lambda: project.get("retrain_wanted") == "", 240, "a training")
        tending.signal(signal.SIGTERM)
        assert tending.process.wait(timeout=60) == 0
        assert "heavy: []" in tending.log.read_text()
        embedding.signal(signal.SIGTERM)
        assert embedding.process.wait(timeout=60) == 0
        assert alive(store) == set()


def test_silent_images_of_one_project_hold_up_nobody_elses(environ, store, label_studio):
    with slow_server() as silent, Worker(environ, "embedding") as embedding, Worker(environ, "tending") as tending:
        for worker in (embedding, tending):
            worker.wait_for_life()
        one = label_studio.add(store, 1, [f"{silent}/{i}.jpg" for i in range(32)])
        other = label_studio.add(store, 2, [f"/data/upload/2/{i}.jpg" for i in range(20)])
        request_tend(one)
        until(lambda: store.keys(one.name("inflight")) and not store.llen("rq:queue:embed"), 240, "the silent shard")
        label_studio.label(2, 2003, "cat")
        Journal(other).append(Event("ANNOTATION_CREATED", (2003,), (1,), (2003,)))
        request_tend(other)
        until(lambda: not len(Journal(other)) and other.get("read_to"), 120, "the labels of the other project")
        until(lambda: arrived(other) == 20, 240, "the images of the other project")
        assert list(slow_servers(store)) == [silent.removeprefix("http://")]
        until(lambda: not in_flight(one), 120)
        assert one.quarantined() == {} and store.hlen(one.name("tries")) == 0
        assert store.zcard(one.name("late")) == 32, "they wait for their server"


@pytest.mark.e2e
def test_of_a_mixed_shard_only_the_slow_servers_images_are_late(environ, store, label_studio):
    head = b"HTTP/1.1 200 OK\r\nX-Drip: " + b"x" * 500
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"x" * 500
    with slow_server() as silent, slow_server(head) as drips, slow_server(body, at_once=40) as trickles:
        project = label_studio.add(store, 1, [""] * 32)
        for i, task in enumerate(label_studio.tasks[1].values()):
            server = (silent, drips, trickles, "/data/upload")[i % 4]
            task["data"]["image"] = f"{server}/{i}.jpg"
        with Worker(environ, "embedding"), Worker(environ, "tending"):
            until(lambda: arrived(project) == 8, 240, "the others")
            until(lambda: store.zcard(project.name("late")) == 24, 240, "those of the slow servers")
        assert slow_servers(store).keys() == {url.removeprefix("http://") for url in (silent, drips, trickles)}
        assert project.quarantined() == {} and store.hlen(project.name("tries")) == 0


def forget_life(store):
    """Let a killed worker count as dead at once, not after 15 s."""
    for name in store.keys("lq:worker:embedding*"):
        store.delete(name)


@pytest.mark.e2e
def test_kills_at_random_moments_quarantine_nothing_and_there_is_progress(environ, store, label_studio):
    rng, seen, progress = random.Random(4), set(), []
    project = label_studio.add(store, 1, [f"/data/upload/1/{i}.jpg" for i in range(500)])

    def at_work():
        return set(store.keys(project.name("at_work", "*"))) - seen

    with Worker(environ, "tending"), Worker(environ, "embedding") as worker:
        for _ in range(5):
            seen |= until(at_work, 240, "work")
            time.sleep(rng.uniform(0, 1.5))
            worker.kill()
            forget_life(store)
            progress.append(arrived(project))
            worker.again()
        until(lambda: arrived(project) >= 500, 240, "all of them")
        assert embedded(project) == 500
    assert project.quarantined() == {} and progress == sorted(progress)


@pytest.mark.e2e
def test_an_image_that_kills_its_worker_is_found_and_alone(environ, store, label_studio):
    code = (
        "import os, signal, sys\n"
        "import labelqueue.images.pipeline as pipeline\n"
        "decode = pipeline.decode_with_thumbnail\n"
        "die = lambda: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "pipeline.decode_with_thumbnail = lambda data, size: die() if data == b'deadly' else decode(data, size)\n"
        "from labelqueue.cli import main\n"
        "sys.exit(main(['worker', *sys.argv[1:]]))"
    )
    project, deaths = label_studio.add(store, 1, [f"/data/upload/1/{i}.jpg" for i in range(40)]), 0
    label_studio.files["/data/upload/1/7.jpg"] = b"deadly"
    with Worker(environ, "tending"), Worker(environ, "embedding", code=code) as worker:
        while not project.quarantined():
            until(lambda: project.quarantined() or worker.process.poll() is not None, 240, "a death")
            if worker.process.poll() is not None:
                forget_life(store)
                deaths += 1
                worker.again()
        until(lambda: arrived(project) == 39, 240, "the others")
    assert list(project.quarantined()) == [1007] and deaths == 5
    assert "3 times while it was alone" in project.quarantined()[1007][1]


def test_a_worker_that_is_told_to_stop_stops_soon_and_gives_its_images_back(environ, store, label_studio):
    with slow_server() as silent, Worker(environ, "embedding") as worker, Worker(environ, "tending") as tending:
        tending.wait_for_life()
        project = label_studio.add(store, 1, [f"{silent}/{i}.jpg" for i in range(8)])
        request_tend(project)
        worker.wait_for_life()
        until(lambda: b"worker" in b"".join(store.hvals(project.name("inflight"))) and not store.llen("rq:queue:embed"))
        time.sleep(1)
        worker.signal(signal.SIGTERM)
        begun = time.monotonic()
        assert worker.process.wait(timeout=60) == 0
        assert time.monotonic() - begun < 15, "well before its server is given up"
        assert store.hlen(project.name("deaths")) == 0 and project.quarantined() == {}
        assert in_flight(project) | {int(t) for t in store.zrange(project.name("pending"), 0, -1)} == set(
            range(1000, 1008)
        )


class TestALookThatStalls:
    """Its worker is stopped in the middle, as by a machine that swaps, and goes on when another one took over."""

    @pytest.mark.parametrize("at", ["/api/tasks", pytest.param("/api/dm/views", marks=pytest.mark.e2e)])
    def test_writes_nothing_when_it_goes_on(self, environ, store, label_studio, at):
        project = label_studio.add(store, 1, [f"/data/upload/1/{i}.jpg" for i in range(12)])
        project.put_settings({"trials": 1}, "a test")
        stalled = []
        with Worker(environ, "embedding"), Worker(environ, "tending") as worker:
            until(lambda: arrived(project) == 12, 240)
            until(lambda: Orders(project).live(), 240)
            until(lambda: not store.exists(project.name("tending")) and not store.llen("rq:queue:tend"), 240)

            def stall(method, path):
                if method == "GET" and path.startswith(at) and not stalled:
                    worker.signal(signal.SIGSTOP)
                    stalled.append(len(label_studio.writes))

            label_studio.before = stall
            project.set(retrain_wanted=str(time.time()))
            request_tend(project)
            until(lambda: stalled, 240, "a stall")
            store.set(project.name("lock"), "another's", ex=60)  # as when it expired
            del label_studio.writes[stalled[0] :]
            time.sleep(0.5)
            worker.signal(signal.SIGCONT)
            until(lambda: "lost its project's lock" in project.get("error"), 120, "that it notices")
            assert label_studio.writes[stalled[0] :] == []
            store.delete(project.name("lock"))
            until(lambda: project.get("error") == "" and project.get("retrain_wanted") == "", 180, "that it goes on")


def test_a_webhook_costs_a_second_at_most_while_redis_stalls(tmp_path, label_studio):
    code = """
import sys, time
from labelqueue.web import create_app
from labelqueue.settings import Deployment
client = create_app(Deployment.from_environment()).test_client()
body = {"action": "TASKS_CREATED", "project": {"id": 1, "created_at": "2026-11-21T00:44:53.544491Z"}, "tasks": []}
for line in sys.stdin:
    begun = time.monotonic()
    answer = client.post("/webhook", json=body)
    print(answer.status_code, time.monotonic() - begun, flush=True)
"""
    with redis_server() as server:
        environ = {**os.environ, **settings(tmp_path, label_studio.url, server.url)}
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", code], env=environ, stdin=pipe, stdout=pipe, text=True) as web:

            def post():
                web.stdin.write("\n")
                web.stdin.flush()
                status, seconds = web.stdout.readline().split()
                return int(status), float(seconds)

            with server.stalled():  # before it has a connection
                assert post()[0] == 503
            assert post()[0] == 201
            with server.stalled():
                answers = [post() for _ in range(3)]
            assert all(status == 503 and seconds < 2 for status, seconds in answers), answers
            assert min(seconds for _, seconds in answers) < 1
            assert post()[0] == 201
            web.stdin.close()
