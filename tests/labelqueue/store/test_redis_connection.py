"""The embedded Redis: starts, keeps data across a kill, and never shares a directory."""

import os
import signal
import tempfile
from pathlib import Path

import pytest

from labelqueue.exceptions import StoreError
from labelqueue.settings import Deployment
from labelqueue.store.redis_connection import connect
from labelqueue.store.redis_server import EmbeddedRedis


def deployment(home: Path, **more: str) -> Deployment:
    return Deployment.from_environment({"LABELQUEUE_HOME": str(home), **more})


@pytest.fixture
def home():
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        yield Path(folder)


def test_data_survives_a_kill(home):
    server = EmbeddedRedis(home)
    server.start()
    client = connect(deployment(home))
    client.set("key", "value")
    client.config_set("appendfsync", "always")
    client.set("key", "value 2")
    pid = client.info("server")["process_id"]
    client.close()
    os.kill(pid, signal.SIGKILL)
    server.stop()
    again = EmbeddedRedis(home)
    again.start()
    client = connect(deployment(home))
    assert client.get("key") == b"value 2"
    client.close()
    again.stop()
    assert not again.alive()


def test_a_directory_serves_one_server(home):
    first = EmbeddedRedis(home)
    first.start()
    with pytest.raises(StoreError, match="another `labelqueue serve`"):
        EmbeddedRedis(home).start()
    first.stop()


def test_no_server_is_a_clear_error(home):
    with pytest.raises(StoreError, match="labelqueue serve"):
        connect(deployment(home))
    with pytest.raises(StoreError, match="REDIS_URL"):
        connect(deployment(home, REDIS_URL="redis://127.0.0.1:1/0"))


def test_an_evicting_server_is_refused(home):
    server = EmbeddedRedis(home)
    server.start()
    client = connect(deployment(home))
    client.config_set("maxmemory", "100mb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.close()
    with pytest.raises(StoreError, match="noeviction"):
        connect(deployment(home))
    server.stop()


def test_a_path_too_long_for_a_socket_is_refused(home):
    with pytest.raises(StoreError, match="choose a shorter folder"):
        EmbeddedRedis(home / ("x" * 120))
