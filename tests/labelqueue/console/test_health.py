"""The page "Health": the doctor's checks, bad images and another chance for them, records, servers, workers, Redis."""

import pytest

from healthy import healthy
from labelqueue.jobs import living, queues
from labelqueue.jobs.servers import cool_down
from labelqueue.labelstudio.session import LabelStudioSession
from labelqueue.state.task_row import TaskRow
from pages import NASTY, browser, text_of


@pytest.fixture
def client(store, deployment):
    return browser(deployment)


def test_everything_well(client, project):
    html = client.page("/7/health")
    text = text_of(html)
    for told in ("Every image could be used", "Every one answers", "Every one can be read", "persistence", "writes"):
        assert told in text
    assert 'data-load="/console/7/health/doctor"' in html and "Look at everything now" in text


def test_what_the_last_look_said_stands_first(client, project):
    project.set(error=f"it is wrong {NASTY}", settings_error="see `labelqueue set`")
    html = client.page("/7/health")
    assert "it is wrong &lt;script&gt;" in html and "<code>labelqueue set</code>" in html


def test_the_page_asks_label_studio_nothing(client, project, monkeypatch):
    asked = []
    monkeypatch.setattr(LabelStudioSession, "request", lambda self, *call, **options: asked.append(call))
    client.page("/7/health")
    assert asked == []


def test_the_doctor_with_ways_out(store, deployment):
    with healthy(store, deployment) as well:
        client = browser(well.deployment)
        html = client.page("/7/health/doctor")
        assert 'id="diagnosis"' in html and "badge bad" not in html
        well.remote["sampling"] = NASTY
        well.project.set(error=NASTY)
        html = client.page("/7/health/doctor")
        assert html.count("&lt;script&gt;") >= 2 and "badge bad" in html and "Way out:" in html
        assert "<code>labelqueue doctor 7 --fix</code>" in html
        assert html.index(">wrong<") < html.index(">well<"), "what is wrong stands first"


def test_label_studio_away_is_a_finding(client, project):
    text = text_of(client.page("/7/health/doctor"))
    assert "cannot be reached" in text or "does not answer" in text


def test_bad_images_with_addresses_as_text_and_another_chance(client, project):
    far = "https://elsewhere.example/x.jpg?a=<b>"
    project.put_tasks({task: TaskRow(far, "u") for task in range(1, 31)})
    project.quarantine(dict.fromkeys(range(1, 30), (far, NASTY)) | {30: ("data:" + "x" * 5000 + "\ud800", "odd")})
    html = client.page("/7/health")
    assert "30 images cannot be used" in text_of(html) and "page 1 of 2" in html
    assert far in text_of(html) and 'href="https://elsewhere' not in html and "&lt;b&gt;" in html
    assert "data:xxx" in client.page("/7/health?page=2") and "x" * 400 not in client.page("/7/health?page=2")
    project.store.zadd(project.name("late"), {"3": 1.0, "4": 1.0})
    told = client.told(client.send("/7/health", "/7/health/again", of=3))
    assert "the image of task 3 is tried again" in told
    assert 3 not in project.quarantined() and len(project.quarantined()) == 29
    assert [raw.decode() for raw in project.store.zrange(project.name("late"), 0, -1)] == ["4"]
    assert project.store.get(project.name("queued")), "a look is asked for"
    assert "task 3 has no bad image" in client.told(client.send("/7/health", "/7/health/again", of=3))
    assert "all bad images" in client.told(client.send("/7/health", "/7/health/again"))
    assert not project.quarantined()
    client.send("/7/health", "/7/health/again", 400, of="x")
    assert client.post("/console/7/health/again", data={"of": 3}).status_code == 400, "no token"


def test_records_servers_and_workers(client, project):
    project.note_unreadable("tasks", {f"task {number}": NASTY for number in range(150)})
    cool_down(project.store, "images.example", NASTY)
    living.heartbeat(project.store, living.name_worker("tending"))
    queues.queue(project.store, "embed").enqueue("labelqueue.worker.embed_job", args=("k", [1]), job_id="one")
    project.store.hset(project.name("tries"), mapping={"1": "1"})
    html = client.page("/7/health")
    text = text_of(html)
    assert "150 records" in text and "The first 100" in text and html.count("&lt;script&gt;") >= 101
    assert "images.example is left alone until" in text and "1 more wait for servers" in text
    assert "none runs" in text and "labelqueue worker embedding" in text and "images: 1, the first since" in text
