"""The embedded Redis: starts, keeps data across a kill, and never shares a directory."""

import os
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest
from redis.exceptions import TimeoutError

from labelqueue.exceptions import StoreError
from labelqueue.settings import Deployment
from labelqueue.state.redis_connection import connect
from labelqueue.state.redis_server import EmbeddedRedis
from processes import redis_server


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


def test_an_answer_that_does_not_come_is_waited_for_as_long_as_was_said_and_no_multiple_of_it(home):
    with redis_server() as server:
        client = connect(deployment(home, REDIS_URL=server.url), timeout=0.3)
        with server.stalled():
            for _ in range(2):  # on a line that was open, and on a new one
                begun = time.monotonic()
                with pytest.raises(TimeoutError):
                    client.get("key")
                assert time.monotonic() - begun < 0.8
            begun = time.monotonic()
            with pytest.raises(StoreError, match="REDIS_URL"):
                connect(deployment(home, REDIS_URL=server.url), timeout=0.3)
            assert time.monotonic() - begun < 0.8
        assert client.set("key", "value")
        client.client_kill_filter(_type="normal", skipme=False)
        assert client.get("key") == b"value", "a line that broke is opened again"
        client.close()


def test_without_a_timeout_an_answer_is_waited_for_and_the_line_is_kept_alive(home):
    with redis_server() as server:
        client = connect(deployment(home, REDIS_URL=server.url), timeout=None)
        line = client.connection_pool.get_connection()
        assert line._sock.gettimeout() is None
        assert line._sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        client.connection_pool.release(line)
        thread = threading.Timer(7, lambda: client.rpush("list", "x"))
        thread.start()
        assert client.blpop(["list"], 20) == (b"list", b"x"), "the client's own timeout would be 5 s"
        thread.join()
        client.close()
