"""The embedded Redis: starts, keeps data across a kill, and never shares a directory."""

import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
from redis.exceptions import TimeoutError

from authority import Authority
from labelqueue.exceptions import StoreError
from labelqueue.process import start_child
from labelqueue.settings import Deployment
from labelqueue.store.redis_connection import PROBE, connect, store_facts, why_refused
from labelqueue.store.redis_server import EmbeddedRedis, find_server
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
        client = connect(deployment(home, REDIS_URL=server.url), timeout=1.0)
        with server.stalled():
            for _ in range(2):  # on a line that was open, and on a new one
                begun = time.monotonic()
                with pytest.raises(TimeoutError):
                    client.get("key")
                assert time.monotonic() - begun < 1.9
            begun = time.monotonic()
            with pytest.raises(StoreError, match="REDIS_URL"):
                connect(deployment(home, REDIS_URL=server.url), timeout=1.0)
            assert time.monotonic() - begun < 1.9
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
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert line._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000
        client.connection_pool.release(line)
        thread = threading.Timer(7, lambda: client.rpush("list", "x"))
        thread.start()
        assert client.blpop(["list"], 20) == (b"list", b"x"), "the client's own timeout would be 5 s"
        thread.join()
        client.close()


# -- on another machine


def pour(source, sink):
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        end.close()


@contextmanager
def encrypted(port, certificate, key):
    """What a Redis with TLS is to its clients, in front of one without; yields its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with suppress(OSError):  # the listener is closed
            while True:
                raw, _ = listener.accept()
                try:
                    caller = context.wrap_socket(raw, server_side=True)
                except OSError:  # it does not trust us
                    continue
                server = socket.create_connection(("127.0.0.1", port))
                for ends in ((caller, server), (server, caller)):
                    threading.Thread(target=pour, args=ends, daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def test_a_redis_with_tls_and_a_password(home, tmp_path):
    authority = Authority(tmp_path)
    with redis_server() as server:
        plain = redis.Redis.from_url(server.url)
        plain.config_set("requirepass", "s3cret")
        with encrypted(int(server.url.split(":")[2].split("/")[0]), *authority.sign("127.0.0.1")) as port:
            url = f"rediss://:s3cret@127.0.0.1:{port}/0"
            trusting = f"{url}?ssl_ca_certs={authority.file}"
            client = connect(deployment(home, REDIS_URL=trusting), timeout=None)
            assert client.set("key", "value") and client.get("key") == b"value"
            client.close()
            for wrong in (url, trusting.replace("s3cret", "s4cret"), trusting.replace(":s3cret@", "")):
                with pytest.raises(StoreError, match="check REDIS_URL") as caught:
                    connect(deployment(home, REDIS_URL=wrong))
                assert not re.search(r"s[34]cret", str(caught.value))
        plain.close()


# -- what a server says of itself


@contextmanager
def server(home, *options):
    """A redis-server of the test's own, as somebody else would run it."""
    path = home / "external.sock"
    command = [find_server(home).program, "--port", "0", "--unixsocket", str(path), "--dir", str(home), *options]
    process = start_child(command, output=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=str(path))
    deadline = time.monotonic() + 15
    try:
        while True:
            with suppress(redis.RedisError):
                client.info("server")
                break
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield client
    finally:
        client.close()
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("options", "persistence", "word"),
    [
        (["--appendonly", "yes", "--save", ""], "append-only file", ""),
        (["--appendonly", "yes", "--save", "3600 1"], "append-only file", ""),
        (["--save", "3600 1"], "snapshots", "after the last one"),
        (["--save", ""], "none", "loses everything"),
    ],
)
def test_how_a_server_keeps_data_over_a_restart(home, options, persistence, word):
    with server(home, *options) as client:
        facts = store_facts(client)
        assert facts.persistence == persistence and word in facts.unsafe and bool(word) == bool(facts.unsafe)
        assert facts.refuses == facts.failed_write == "" and facts.version.count(".") == 2 and not facts.nearly_full
        assert 0 < client.pttl(PROBE) <= 1000


def test_a_server_that_does_not_tell_its_configuration(home):
    """As managed servers do."""
    with server(home, "--save", "3600 1", "--rename-command", "CONFIG", "") as client:
        facts = store_facts(client)
        assert facts.persistence == "unknown" and facts.unsafe == ""


def test_a_user_with_few_rights(home):
    with server(home, "--save", "3600 1") as client:
        client.execute_command("ACL", "SETUSER", "few", "on", "nopass", "~rq:*", "+@all", "-config")
        few = redis.Redis(unix_socket_path=str(home / "external.sock"), username="few", password="x")
        facts = store_facts(few)
        assert facts.persistence == "unknown" and "lacks rights" in facts.refuses
        few.close()


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (lambda client: client.config_set("maxmemory", "1"), "Redis is full"),
        (lambda client: client.config_set("min-replicas-to-write", "1"), "too few replicas"),
        (lambda client: client.replicaof("127.0.0.1", 1), "read-only replica"),
    ],
)
def test_a_server_that_takes_nothing_can_be_connected_to_and_says_why(home, fault, word):
    embedded = EmbeddedRedis(home)
    embedded.start()
    client = connect(deployment(home))
    client.set("key", "kept")
    fault(client)
    again = connect(deployment(home))
    facts = store_facts(again)
    assert word in facts.refuses and ": " in facts.refuses and again.get("key") == b"kept"
    assert facts.nearly_full == (word == "Redis is full")
    with pytest.raises(redis.RedisError) as refused:
        again.set("key", "new")
    assert why_refused(refused.value) == facts.refuses
    with pytest.raises(StoreError, match="another `labelqueue serve`"):
        EmbeddedRedis(home).start()
    client.close()
    again.close()
    embedded.stop()


def test_a_server_whose_snapshot_failed_refuses_even_a_ping_and_is_read_all_the_same(home):
    with server(home, "--save", "3600 1") as client:
        (home / "dump.rdb").mkdir()
        client.set("key", "kept")
        client.bgsave()
        deadline = time.monotonic() + 15
        while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        facts = store_facts(client)
        assert "cannot write to its disk" in facts.refuses and facts.failed_write == "snapshot"
        with pytest.raises(redis.ResponseError, match="MISCONF"):
            client.ping()
        outside = connect(deployment(home, REDIS_URL=f"unix://{home}/external.sock"))
        assert outside.get("key") == b"kept"
        outside.close()


def test_a_second_server_is_not_started_on_data_whose_server_cannot_write(home):
    first = EmbeddedRedis(home)
    first.start()
    client = connect(deployment(home))
    client.config_set("min-replicas-to-write", "1")
    client.config_set("save", "3600 1")
    (home / "redis" / "dump.rdb").mkdir()
    client.bgsave()
    deadline = time.monotonic() + 15
    while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(redis.ResponseError):
        client.ping()
    with pytest.raises(StoreError, match="another `labelqueue serve`"):
        EmbeddedRedis(home).start()
    client.config_set("save", "")  # else it would not end before its snapshot is written
    client.close()
    first.stop()


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (redis.ConnectionError("Error 111 connecting to secret-host:6379"), "does not answer"),
        (redis.TimeoutError("secret-host"), "does not answer"),
        (redis.BusyLoadingError("Redis is loading the dataset in memory"), "still reads its data"),
        (redis.ResponseError("NOREPLICAS Not enough good replicas to write."), "too few replicas"),
        (redis.ResponseError("something else at secret-host"), "see its log"),
    ],
)
def test_what_people_are_told_has_no_address(error, word):
    assert word in why_refused(error) and "secret-host" not in why_refused(error)
