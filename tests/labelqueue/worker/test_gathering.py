"""Reading many images at once: servers take turns, a slow one is asked for nothing more, and nobody else is late."""

import threading
import time

import pytest

from labelqueue.exceptions import ImageError, LateImageError, TransientImageError
from labelqueue.worker import gathering
from labelqueue.worker.gathering import Gathering, Wanted, server_of


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        ("https://Pics.example/a.jpg?x=1", "pics.example:443"),
        ("http://pics.example:8081/a.jpg", "pics.example:8081"),
        ("http://[::1]/a.jpg", "[::1]:80"),
        ("s3://bucket/a.jpg", "s3://bucket"),
        ("azure-blob://box/a.jpg", "azure-blob://box"),
        ("/data/upload/1/a.jpg", "Label Studio"),
        ("data:image/png;base64,xyz", ""),
        ("http://[oops/a.jpg", ""),
        ("http://host:port/", ""),
        ("what is this", "Label Studio"),
    ],
)
def test_who_gives_an_image(uri, server):
    assert server_of(uri) == server


@pytest.fixture
def gather(monkeypatch):
    """Gather images of these servers, in this order; `how` says what a server does. Return what came and the rest."""
    monkeypatch.setattr(gathering, "PATIENCE", 0.15)
    monkeypatch.setattr(gathering, "LOOK_UP", 0.01)
    done = threading.Event()

    def run(servers, how, *, deadline=1.5, **options):
        asked, lock, at_once, most = [], threading.Lock(), {}, {}

        def read(server, task, until):
            with lock:
                asked.append(task)
                at_once[server] = at_once.get(server, 0) + 1
                most[server] = max(most.get(server, 0), at_once[server])
            try:
                act = how.get(server, b"image")
                act = act(task) if callable(act) else act
                if act == "hangs":
                    done.wait(60)
                if act == "times out":
                    time.sleep(0.1)
                    raise LateImageError(f"{task} took too long")
                if isinstance(act, Exception):
                    raise act
                return act
            finally:
                with lock:
                    at_once[server] -= 1

        wanted = [
            Wanted(i, f"u{i}", server, lambda until, server=server, i=i: read(server, i, until))
            for i, server in enumerate(servers)
        ]
        found = Gathering(wanted, deadline=deadline, **options)
        came = {}
        begun = time.monotonic()
        for item in found:
            try:
                came[item.id] = item.load()
            except Exception as error:
                came[item.id] = error
        found.seconds, found.asked, found.most = time.monotonic() - begun, asked, most
        ids = [*came, *found.unread, *(task for late in found.late.values() for task in late)]
        assert sorted(ids) == list(range(len(servers))), "every image is in exactly one place"
        return came, found

    yield run
    done.set()


def test_every_image_comes_and_no_server_is_asked_for_too_many_at_once(gather):
    came, found = gather(["a"] * 30 + ["b"] * 3, {"a": lambda task: time.sleep(0.005) or b"a"}, deadline=60)
    assert set(came.values()) == {b"a", b"image"} and found.answered == {"a", "b"}
    assert (found.late, found.unread) == ({}, []) and found.most["a"] <= gathering.PER_SERVER


def test_a_bad_image_is_its_own_fault(gather):
    errors = {"a": lambda task: ImageError("no such file") if task == 1 else b"a"}
    came, found = gather(["a"] * 3, errors)
    assert str(came[1]) == "no such file" and came[0] == came[2] == b"a" and not found.late


@pytest.mark.parametrize("how", ["hangs", "times out"])
def test_a_silent_server_costs_its_own_images_only(gather, how):
    came, found = gather(["slow", "a"] * 16, {"slow": how})
    assert sorted(came) == list(range(1, 32, 2)) and {s: sorted(ids) for s, ids in found.late.items()} == {
        "slow": list(range(0, 32, 2))
    }
    assert list(found.reasons) == ["slow"] and found.unread == []
    assert sum(task % 2 == 0 for task in found.asked) <= gathering.PER_SERVER, "nothing more is asked of it"


def test_images_that_no_time_was_left_for_are_nobodys_fault(gather):
    came, found = gather(["a"] * 40, {"a": lambda task: time.sleep(0.1) or b"a"}, deadline=0.35)
    assert found.answered == {"a"} and not found.reasons
    late = [error for error in came.values() if isinstance(error, LateImageError)]
    assert len(found.unread) > 20 and len(late) <= gathering.PER_SERVER, "those at work then have one try less"


def test_one_late_image_of_a_server_that_gives_others_is_its_own_fault(gather):
    came, found = gather(["a"] * 8, {"a": lambda task: "hangs" if task == 3 else b"a"})
    assert isinstance(came[3], TransientImageError) and not found.late and len(came) == 8


def test_a_single_late_image_says_nothing_of_a_server_unless_it_was_slow_before(gather):
    came, found = gather(["a"], {"a": "times out"})
    assert isinstance(came[0], LateImageError) and not found.reasons
    came, found = gather(["a"], {"a": "times out"}, suspicious=lambda server: server == "a")
    assert came == {} and found.late == {"a": [0]} and found.reasons == {"a": "0 took too long"}


def test_a_server_that_says_no_is_not_a_slow_one(gather):
    how = {"a": lambda task: ImageError("404") if task else "hangs"}
    came, found = gather(["a"] * 8, how)
    assert len(came) == 8 and not found.late and "did not give it within" in str(came[0])


def test_a_server_that_is_left_alone_is_not_asked_at_all(gather):
    came, found = gather(["slow", "a", "slow"], {}, slow={"slow": "silent"})
    assert sorted(came) == [1] and found.late == {"slow": [0, 2]} and found.reasons == {} and found.asked == [1]


def test_it_stops_when_it_is_told_to_and_blames_nobody(gather):
    stop = time.monotonic() + 0.1
    came, found = gather(["slow"] * 10, {"slow": "hangs"}, deadline=60, stop=lambda: time.monotonic() > stop)
    assert (came, found.late, found.reasons) == ({}, {}, {}) and len(found.unread) == 10
    assert found.seconds < 30


def test_what_is_no_error_of_an_image_is_passed_on(gather):
    came, _ = gather(["a"], {"a": ZeroDivisionError("a bug")})
    assert isinstance(came[0], ZeroDivisionError)
