"""Everything that Redis held is lost, and brought back from a file, beside a real Label Studio that goes on."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from redis import Redis, RedisError

from e2e.test_queue import CONFIG, ordered, published, wait_for
from labelqueue.store.redis_server import find_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

IMAGES = 60


@pytest.fixture
def own():
    """A Redis beside the service, which lives on while that is stopped: its data folder and a connection."""
    home = Path(tempfile.mkdtemp(prefix="lq-"))  # short: a unix socket's path is limited
    options = f"--port 0 --unixsocket {home}/own.sock --dir {home} --maxmemory-policy noeviction"
    program = [find_server(home).program, *options.split(), "--save", ""]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL)
    store = Redis(unix_socket_path=f"{home}/own.sock")
    deadline = time.monotonic() + 30
    while True:
        try:
            store.ping()
            break
        except RedisError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield home, store
    process.kill()
    process.wait()
    shutil.rmtree(home, ignore_errors=True)


def label(user, project, count):
    for _ in range(count):
        task = user.next(project)["id"]
        user.annotate(task, "disc" if task % 2 else "star")


def test_what_was_lost_comes_back_and_no_image_is_embedded_again(api, serve, drawn, own):
    home, store = own
    user = api.sign_up(f"backup{time.time()}@test.local")
    with serve(home=home, REDIS_URL=f"unix://{home}/own.sock") as backend:
        port = backend.port
        project = api.create_project("backup", CONFIG)
        api.import_images(project, drawn(IMAGES))
        api.connect(project, backend.url, extra_params={"horizon": 15})
        wait_for(backend, project, ordered(IMAGES))
        first = backend.command("status", str(project), "--json")["version"]
        backend.command("set", str(project), "seed=4", "switch_after=10")
        wait_for(backend, project, lambda now: now["version"] != first, what="an order with that seed")
        label(user, project, 14)
        wait_for(backend, project, lambda now: now["labeled"] == 14 and now["learning"]["labels"] >= 10, what="a model")
        time.sleep(5)  # until nothing moves any more
        told = backend.command("backup", str(project), str(home / "it.backup"), "--json")
        assert told["images"] == told["tasks"] == IMAGES and told["orders"] >= 2, told
        before = backend.command("status", str(project), "--json")
        audit = backend.command("orders", str(project), "--json")["orders"]
        chosen = backend.command("set", str(project), "--json")["settings"]
        head, served = published(backend, project), api.project(project)
        secret = store.hget(next(store.scan_iter("lq:*:info")), "secret")
    assert secret and secret not in (home / "it.backup").read_bytes()
    assert backend.environment["LABEL_STUDIO_API_KEY"].encode() not in (home / "it.backup").read_bytes()

    store.flushall()
    shutil.rmtree(home / "spool")
    told = backend.command("restore", str(home / "it.backup"), "--json")
    assert told["images"]["taken"] == told["tasks"]["taken"] == IMAGES and told["connected"], told
    now = api.project(project)
    assert (now["model_version"], now["sampling"]) == (served["model_version"], served["sampling"])

    with serve(home=home, port=port, REDIS_URL=f"unix://{home}/own.sock") as second:
        again = wait_for(second, project, lambda now: now["labeled"] == 14 and now["tasks"] == IMAGES and now["covers"])
        assert again["version"] == before["version"] and not again["paused"] and not again["error"]
        assert again["learning"] == before["learning"]
        assert published(second, project) == head
        assert second.command("orders", str(project), "--json")["orders"] == audit
        assert second.command("set", str(project), "--json")["settings"] == chosen
        for row in audit:
            assert second.command("orders", str(project), "--verify", str(row["number"]), "--json")["outcome"] == "same"
        label(user, project, 25)
        wait_for(second, project, lambda now: now["labeled"] == 39, what="labels that come by webhook")
        info = next(store.scan_iter("lq:*:info"))
        assert store.hget(info, "arrivals") == str(IMAGES).encode(), "no image is embedded again"
        assert store.hget(info, "secret") not in (None, secret)
        api.disconnect(project)


def test_another_project_of_the_same_images_goes_on_from_a_backup(api, serve, drawn, tmp_path):
    """Their tasks have other ids, in another order; nothing of it is embedded again, and its queue is its own."""
    images = 30
    user = api.sign_up(f"moved{time.time()}@test.local")
    with serve() as backend:
        first = api.create_project("moved from", CONFIG)
        api.import_images(first, drawn(images))
        api.connect(first, backend.url, extra_params={"horizon": 10})
        wait_for(backend, first, ordered(images))
        backend.command("set", str(first), "seed=4", "switch_after=10")
        label(user, first, 12)
        wait_for(backend, first, lambda now: now["labeled"] == 12 and now["learning"]["labels"] == 12, what="labels")
        backend.command("backup", str(first), str(tmp_path / "it"))
        rows = api.call("GET", f"/api/tasks?project={first}&page_size=100&fields=all")["tasks"]
        second = api.create_project("moved to", CONFIG)
        api.import_tasks(second, [{"image": row["data"]["image"]} for row in reversed(rows)])
        told = backend.command("restore", str(tmp_path / "it"), "--project", str(second), "--json")
        assert told["tasks"] == {"taken": images, "of": images, "by_image": images} and not told["connected"], told
        assert told["images"]["taken"] == images and told["learned"]["labels"] == told["learned"]["of"] > 0
        assert not api.project(second)["model_version"].startswith("r"), "nothing is changed in Label Studio"

        api.connect(second, backend.url)
        now = wait_for(backend, second, ordered(images))
        assert now["settings"]["seed"] == 4 and now["version"] and not now["error"]
        assert not set(published(backend, second)) & {row["id"] for row in rows}
        assert backend.command("orders", str(second), "--verify", "latest", "--json")["outcome"] == "same"
        assert user.next(second)["id"] == published(backend, second)[0]
        store = Redis(unix_socket_path=f"{backend.home}/redis/redis.sock")
        info = next(key for key in store.scan_iter("lq:*:info") if f"-{second}-".encode() in key)
        assert store.hget(info, "arrivals") == str(images).encode(), "no image is embedded again"
        for project in (first, second):
            api.disconnect(project)
