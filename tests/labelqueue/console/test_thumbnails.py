"""The thumbnails' route and what pages show in their place: caching, misses that are asked for, reasons, escaping."""

import subprocess
import sys
from dataclasses import replace

import pytest

from labelqueue.block import source_hash
from labelqueue.console.thumbnails import Picture, pictures, thumbnail_address
from labelqueue.gallery import MEGABYTE, Thumbnails
from labelqueue.jobs import PAGE
from labelqueue.labels import UNLABELED
from labelqueue.state import TaskRow
from labelqueue.web.app import create_app

URI, OTHER = "/1.jpg", "/other.jpg"
FILE = b"RIFF\x0c\0\0\0WEBPVP8 \xff"
NASTY = '"><script>alert(1)</script>'


def address(uri=None, task=1):
    return f"/console/7/thumbs/{task}" + (f"?v={source_hash(uri):016x}" if uri else "")


@pytest.fixture
def client(store, deployment):
    return create_app(deployment).test_client()


@pytest.fixture
def thumbnails(project):
    project.put_tasks({1: TaskRow(URI, UNLABELED)})
    return Thumbnails(project)


def asked(store):
    return store.llen(f"rq:queue:{PAGE}")


def test_a_thumbnail_is_shown_and_kept_by_the_browser_for_good(client, thumbnails, store):
    thumbnails.put({1: (source_hash(URI), FILE)}, MEGABYTE)
    answer = client.get(address(URI))
    assert (answer.status_code, answer.mimetype, answer.data) == (200, "image/webp", FILE)
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    again = client.get(address(URI) + "&again=3")
    assert again.data == FILE and "immutable" in again.headers["Cache-Control"]
    assert client.get(address()).headers["Cache-Control"] == "private, no-cache", "it may be another one tomorrow"
    assert asked(store) == 0


def test_what_is_missing_is_asked_for_once_and_there_a_moment_later(client, thumbnails, project, store):
    project.put_tasks({2: TaskRow(OTHER, UNLABELED)})
    for place in (address(URI), address(URI), address(), address(OTHER, 2)):
        answer = client.get(place)
        assert answer.status_code == 404 and "ask again" in answer.get_json()["error"]
        assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Retry-After"] == "1"
    assert asked(store) == 1 and sorted(thumbnails.take_wanted(9)) == [1, 2]


def test_a_replaced_image_has_another_address(client, thumbnails, project, store):
    thumbnails.put({1: (source_hash(URI), FILE)}, MEGABYTE)
    project.put_tasks({1: TaskRow(OTHER, UNLABELED)})
    assert client.get(address(URI)).data == FILE, "the old address shows what it always did"
    assert client.get(address(OTHER)).headers["Retry-After"] == "1"
    thumbnails.put({1: (source_hash(OTHER), b"new")}, MEGABYTE)
    assert client.get(address(OTHER)).data == client.get(address()).data == b"new"
    answer = client.get(address(URI))
    assert answer.status_code == 404 and "load the page again" in answer.get_json()["error"]
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    "place", [address(URI, 99), "/console/8/thumbs/1", address() + "?v=nonsense", address() + "?v=-1"]
)
def test_addresses_of_nothing(client, thumbnails, store, place):
    answer = client.get(place)
    assert answer.status_code == 404 and "Retry-After" not in answer.headers and asked(store) == 0
    assert client.get("/console/7/thumbs/x").status_code == 404 == client.get("/console/7/thumbs/-1").status_code


def test_a_known_reason_is_told_and_nobody_is_asked(client, thumbnails, project, store):
    thumbnails.note({1: (source_hash(URI), "the image is truncated")}, 60)
    answer = client.get(address(URI))
    assert answer.get_json() == {"error": "the image is truncated"} and answer.headers["Cache-Control"] == "no-store"
    assert answer.status_code == 404 and asked(store) == 0 and "Retry-After" not in answer.headers


def test_where_none_are_kept_none_is_asked_for(store, deployment, thumbnails, monkeypatch):
    client = create_app(replace(deployment, thumbnails=0)).test_client()
    assert "LABELQUEUE_THUMBNAILS" in client.get(address(URI)).get_json()["error"] and asked(store) == 0


def test_strangers_get_none(client, thumbnails):
    thumbnails.put({1: (source_hash(URI), FILE)}, MEGABYTE)
    image = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    assert client.get(address(URI), headers={**image, "Sec-Fetch-Site": "same-origin"}).status_code == 200
    for call in ({"headers": {**image, "Sec-Fetch-Site": "cross-site"}}, {"environ_base": {"REMOTE_ADDR": "10.1.2.3"}}):
        assert client.get(address(URI), **call).status_code in (401, 403)


def test_what_a_page_shows_in_place_of_each_image(client, thumbnails, project):
    rows = {task: TaskRow(f"/{task}.jpg", UNLABELED) for task in (1, 2, 3, 4)}
    project.put_tasks(rows)
    thumbnails.put({4: (source_hash("/4.jpg"), FILE)}, MEGABYTE)
    project.quarantine({3: ("/3.jpg", NASTY), 4: ("/4.jpg", "its numbers are not finite")})
    thumbnails.note({2: (source_hash("/2.jpg"), "no answer")}, 60)
    with client.application.test_request_context():
        found = pictures(project, rows)
        assert found[1] == Picture(address("/1.jpg"), "task 1") and found[4] == Picture(address("/4.jpg", 4), "task 4")
        assert found[2] == Picture("", "task 2: no answer") and found[3].alt == f"task 3: {NASTY}"
        assert thumbnail_address(7, 1, source_hash("/1.jpg")) == found[1].address
        assert pictures(project, {}) == {}
        page = client.application.jinja_env.from_string(
            '{% from "picture.html" import picture %}{% for one in them %}{{ picture(one) }}{% endfor %}'
        )
        shown = page.render(them=[found[1], found[3]])
    assert f'<img class="thumb" src="{address("/1.jpg")}" alt="task 1" loading="lazy">' in shown
    assert "<script>" not in shown and "&lt;script&gt;" in shown and "style=" not in shown


def test_the_web_process_shows_and_asks_and_loads_no_pillow(thumbnails, redis_home, deployment):
    """In a process of its own: a hit, a miss, and what a page shows."""
    thumbnails.put({1: (source_hash(URI), FILE)}, MEGABYTE)
    code = (
        "import sys\n"
        "from labelqueue.settings import Deployment\n"
        "from labelqueue.web.app import create_app\n"
        "client = create_app(Deployment.from_environment()).test_client()\n"
        f"codes = [client.get(place).status_code for place in ({address(URI)!r}, {address(OTHER)!r}, {address()!r})]\n"
        "from labelqueue.console.thumbnails import pictures\n"
        "print(codes, [m for m in ('PIL', 'torch', 'timm', 'sklearn', 'labelqueue.pixels') if m in sys.modules])\n"
    )
    environ = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": ":".join(sys.path),
        "LABELQUEUE_HOME": str(redis_home),
        "LABEL_STUDIO_URL": deployment.label_studio_url,
        "LABEL_STUDIO_API_KEY": "0" * 40,
    }
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[200, 404, 200] []", done.stderr
