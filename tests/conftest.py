"""Fixtures for everything: a real Redis, and deployment settings in a folder of the test's own."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples

from labelqueue.settings import Deployment
from labelqueue.state.project import Project, ProjectRef
from labelqueue.store.redis_connection import Redis, connect
from labelqueue.store.redis_server import EmbeddedRedis

ORIGIN = "http://label-studio.test"
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    '<Choice value="cat"/><Choice value="dog"/></Choices></View>'
)


def pytest_configure() -> None:
    """A run started in the background ignores Ctrl-C, and so would the programs whose Ctrl-C is tested.

    Hypothesis times each example, 0.2 s at most: on a busy machine any of them may take longer.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    examples.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    examples.load_profile("any machine")


@pytest.fixture(scope="session")
def redis_home() -> Iterator[Path]:
    """Data directory of a running embedded redis-server, shared by the run."""
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:  # short: a unix socket's path is limited
        server = EmbeddedRedis(Path(folder))
        server.start()
        yield Path(folder)
        server.stop()


@pytest.fixture
def deployment(redis_home: Path) -> Deployment:
    """Settings that point at the run's Redis."""
    return Deployment.from_environment(
        {
            "LABELQUEUE_HOME": str(redis_home),
            "LABEL_STUDIO_URL": ORIGIN,
            "LABEL_STUDIO_API_KEY": "0" * 40,
            "LABELQUEUE_EMBEDDER": "bundled",
        }
    )


@pytest.fixture
def store(deployment: Deployment) -> Iterator[Redis]:
    """Empty Redis."""
    client = connect(deployment)
    client.flushall()
    yield client
    client.flushall()
    client.close()


@pytest.fixture
def default_signals() -> Iterator[None]:
    """Put back what handles signals: RQ's worker takes them over, in the process that it runs in."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def project(store: Redis) -> Project:
    """A registered project with a classification config."""
    found = Project(store, ProjectRef(ORIGIN, 7, 1_800_000_000))
    found.register(label_config=CONFIG, title="animals", tag="k7f", tags="k7f")
    return found
