"""Thumbnails cut on demand: the real job, in this process, with the real fetcher, against a server on loopback."""

import base64
import io
import time
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from PIL import Image
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from http_stub import serving
from labelqueue.block import source_hash
from labelqueue.gallery import MEGABYTE, Thumbnails
from labelqueue.jobs import cool_down, name_worker
from labelqueue.jobs.queues import job_queues
from labelqueue.labels import UNLABELED
from labelqueue.pagework import thumbnails as module
from labelqueue.pixels import thumbnail_of
from labelqueue.state import TaskRow
from labelqueue.worker.runtime import Runtime, install


def encoded(color, kind="PNG", size=(300, 200)):
    file = io.BytesIO()
    Image.new("RGB" if isinstance(color, str) else "I;16", size, color).save(file, kind)
    return file.getvalue()


FILES = {
    "/data/upload/red.png": encoded("red"),
    "/data/upload/blue.jpg": encoded("blue", "JPEG"),
    "/data/upload/deep.png": encoded(2000),
    "/data/upload/cut.jpg": encoded("green", "JPEG")[:500],
    "/data/upload/page.png": b"<html>please log in</html>",
}
BUSY = "/data/upload/busy.png"


@pytest.fixture
def label_studio():
    """Label Studio's files: `calls` of (method, path, headers, body), and its address."""

    def answer(method, path, headers, body):
        if path == BUSY:
            return 503, {}, {"detail": "busy"}
        return (200, {}, FILES[path]) if path in FILES else (404, {}, {"detail": "not found"})

    with serving(answer) as found:
        yield found


@pytest.fixture
def desk(project, store, deployment, label_studio, default_signals):
    """A project of that Label Studio, and the embedding worker that serves its pages."""
    return Desk(project, store, replace(deployment, label_studio_url=label_studio[0]), label_studio[1])


class Desk:
    def __init__(self, project, store, deployment, calls):
        self.project, self.store, self.deployment, self._calls = project, store, deployment, calls
        self.thumbnails = Thumbnails(project)
        self.sources = {}

    def show(self, uris):
        """Show a page with these tasks, task to URI; return the addresses that were read and what came out."""
        self.project.put_tasks({task: TaskRow(uri, UNLABELED) for task, uri in uris.items()})
        self.sources = {task: source_hash(uri) for task, uri in uris.items()}
        self.thumbnails.want(list(uris))
        return self.work()

    def work(self):
        install(Runtime(self.deployment))
        self._calls.clear()
        queues = job_queues(self.store, "embedding")
        name = name_worker("embedding")
        worker = SimpleWorker(queues, name=name, connection=self.store, serializer=JSONSerializer)
        worker.work(burst=True, logging_level="ERROR")
        read = sorted(path for _, path, _, _ in self._calls)
        return read, self.thumbnails.sources_of(list(self.sources)), self.thumbnails.reasons(self.sources)


def test_images_that_were_embedded_before_are_cut_when_a_page_shows_them(desk):
    data = FILES["/data/upload/blue.jpg"]
    inline = "data:image/jpeg;base64," + base64.b64encode(data).decode()
    uris = {1: "/data/upload/red.png", 2: "/data/upload/blue.jpg", 3: "/data/upload/deep.png", 4: inline}
    read, here, reasons = desk.show(uris)
    assert read == sorted(list(uris.values())[:3]) and here == desk.sources and reasons == {}
    assert [desk.thumbnails.get(task)[1] for task in (1, 2, 3, 4)] == [
        thumbnail_of(each) for each in (FILES[uris[1]], data, FILES[uris[3]], data)
    ]
    assert desk.show(uris)[0] == [], "they are there"
    read, here, _ = desk.show(uris | {1: "/data/upload/blue.jpg"})
    assert read == ["/data/upload/blue.jpg"] and here == desk.sources, "another image has another thumbnail"


def test_each_failure_has_its_reason_and_is_not_tried_at_each_page(desk, label_studio):
    own = urlsplit(label_studio[0])
    uris = {
        1: "/data/upload/cut.jpg",
        2: "/data/upload/page.png",
        3: "/data/upload/gone.png",
        4: BUSY,
        5: "",
        6: f"http://127.0.0.2:{own.port}/private.png",
        7: "file:///etc/passwd",
        8: "http://[nonsense",
        9: "/data/upload/red.png",
    }
    read, here, reasons = desk.show(uris)
    assert read == sorted({uris[1], uris[2], uris[3], BUSY, uris[9]}) and here == {9: desk.sources[9]}
    said = {1: "truncated", 2: "HTML page", 3: "404", 4: "503", 5: "no image", 6: "127.0.0.2", 7: "file", 8: "nonsense"}
    assert {task for task, why in said.items() if why in reasons[task]} == said.keys() == reasons.keys(), reasons
    assert desk.show(uris)[0] == []
    rows = desk.store.hgetall(desk.project.name("thumbless"))
    later = time.time() + module.AGAIN + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labelqueue.gallery.thumbnails.time.time", lambda: later)
        assert 4 not in desk.thumbnails.reasons(desk.sources) and 1 in desk.thumbnails.reasons(desk.sources)
    assert len(rows) == 8


def test_what_could_not_be_embedded_is_not_tried(desk):
    """Its worker may have died on it."""
    desk.project.quarantine({1: ("/data/upload/red.png", "its worker died, 3 times while it was alone")})
    read, here, reasons = desk.show({1: "/data/upload/red.png"})
    assert read == [] and here == {} and "died" in reasons[1]
    assert desk.show({1: "/data/upload/blue.jpg"})[1] == desk.sources, "it was replaced"


def test_while_label_studio_is_away_each_image_says_so(desk):
    desk.deployment = replace(desk.deployment, label_studio_url="http://127.0.0.1:9")
    _, here, reasons = desk.show({1: "/data/upload/red.png", 2: "/data/upload/blue.jpg"})
    assert here == {} and all("Label Studio" in reasons[task] for task in (1, 2))


def test_a_server_that_is_left_alone_is_not_asked_for_pages_either(desk, label_studio):
    cool_down(desk.store, "Label Studio", "it took too long")
    read, here, reasons = desk.show({1: "/data/upload/red.png"})
    assert read == [] and here == {} and "slow" in reasons[1]


def test_more_than_one_batch_is_cut_by_one_job(desk):
    uris = dict.fromkeys(range(2 * module.BATCH + 3), "/data/upload/red.png")
    read, here, _ = desk.show(uris)
    assert here == desk.sources and len(read) == len(uris)
    assert desk.store.exists(desk.project.name("thumbs_wanted")) == 0


def test_where_no_thumbnails_are_kept_none_is_cut(desk):
    desk.deployment = replace(desk.deployment, thumbnails=0)
    assert desk.show({1: "/data/upload/red.png"}) == ([], {}, {})


def test_an_image_is_to_blame_while_it_is_decoded_and_no_longer(desk, monkeypatch):
    during = []

    def decode(data):
        during.append(desk.thumbnails.reasons(desk.sources))
        return thumbnail_of(data)

    monkeypatch.setattr(module, "thumbnail_of", decode)
    _, here, reasons = desk.show({1: "/data/upload/red.png"})
    assert during == [{1: module.DIED}] and here == desk.sources and reasons == {}


def test_what_there_was_no_time_for_is_tried_again(desk, monkeypatch):
    monkeypatch.setattr(module, "DEADLINE", 0.0)
    uris = dict.fromkeys(range(6), "/data/upload/red.png")
    _, here, reasons = desk.show(uris)
    assert len(here) == 1 and reasons == {}
    monkeypatch.undo()
    assert desk.show(uris)[1] == desk.sources


def test_without_room_in_redis_the_page_says_so(desk, monkeypatch):
    desk.thumbnails.want([1])
    # Wide, since a shared Redis gives back what lay in its connections.
    monkeypatch.setattr("labelqueue.gallery.thumbnails.NEARLY_FULL", 0.3)
    try:
        desk.store.config_set("maxmemory", 2 * desk.store.info("memory")["used_memory"])
        _, here, reasons = desk.show({1: "/data/upload/red.png"})
    finally:
        desk.store.config_set("maxmemory", 0)
    assert here == {} and reasons == {1: module.FULL}


def test_the_limit_holds_for_what_is_cut_on_demand(desk):
    desk.deployment = replace(desk.deployment, thumbnails=1)
    filler = {task: (task, bytes(30_000)) for task in range(100, 140)}
    desk.project.put_tasks({task: TaskRow(f"/{task}", UNLABELED) for task in filler})
    desk.thumbnails.put(filler, 100 * MEGABYTE)
    _, here, _ = desk.show({1: "/data/upload/red.png"})
    assert here == desk.sources and len(desk.thumbnails.sources_of(list(filler))) == 32
