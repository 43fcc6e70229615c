"""The product on a real Label Studio: connect a project, and its queue is ordered by FreeSel."""

from __future__ import annotations

import shutil
import time

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    '<Choice value="disc"/><Choice value="star"/></Choices></View>'
)
UNCERTAINTY = "Uncertainty sampling"


def status(backend, project):
    return backend.command("status", str(project), "--json")


def published(backend, project, limit=1000):
    return [row["task"] for row in backend.command("order", str(project), "--limit", str(limit), "--json")["tasks"]]


def wait_for(backend, project, condition, seconds=180.0, what="the status"):
    """Wait until the project's status is as wished; return it. By REST: a command is a second of a core each time."""
    deadline = time.monotonic() + seconds
    while True:
        now = backend.get(f"/projects/{project}")
        if condition(now):
            return now
        assert time.monotonic() < deadline, f"{what} is not as wished after {seconds} s: {now}"
        time.sleep(0.3)


def ordered(n):
    """The live order was made from all of n images."""
    return lambda now: now["covers"] == n and now["tasks"] == n and not now["pending"]


@pytest.fixture(scope="module")
def connected(api, backend, drawn):
    """A project of 300 images, imported over HTTP in three batches, whose order is live."""
    project = api.create_project("queue", CONFIG)
    api.connect(project, backend.url)
    for start in range(0, 300, 100):
        api.import_images(project, drawn(300)[start : start + 100])
    wait_for(backend, project, lambda now: now.get("covers") == 300 and not now["pending"])
    return project


def test_the_order_is_live_in_label_studio(api, backend, connected):
    remote = api.project(connected)
    assert remote["sampling"] == UNCERTAINTY
    assert remote["model_version"] == status(backend, connected)["version"]
    order = backend.command("order", str(connected), "--json")["tasks"]
    assert order[0]["rank"] == 1 and all(row["reason"] for row in order)


def test_the_webhook_carries_the_secret(api, connected):
    hooks = [hook for hook in api.webhooks(connected) if hook["url"].endswith("/webhook")]
    assert hooks and all("X-Labelqueue-Secret" in hook["headers"] for hook in hooks)


def test_label_all_tasks_opens_rank_one_and_the_tab_shows_the_order(api, backend, connected, browser):
    head = published(backend, connected)
    page = browser.new_page()
    page.goto(f"{api.url}/projects/{connected}/data")
    tab = page.get_by_text("Order: don't lab").first
    tab.wait_for(timeout=60_000)
    tab.click()
    page.get_by_text("Prediction score").first.wait_for(timeout=60_000)
    page.wait_for_function(f"() => document.body.innerText.split('\\n').includes('{head[4]}')", timeout=60_000)
    shown = page.evaluate("() => document.body.innerText")
    positions = [shown.find(f"\n{task}\n") for task in head[:5]]
    assert positions == sorted(positions) and positions[0] >= 0, (head[:5], shown[:2000])
    assert "Runtime error" not in shown
    page.get_by_text("Default", exact=True).first.click()
    page.get_by_role("button", name="Label All Tasks").click()
    page.wait_for_url(lambda url: "task=" in url or "labeling=1" in url, timeout=60_000)
    opened = f"() => document.body.innerText.split('\\n').includes('{head[0]}')"
    page.get_by_text("Submit").first.wait_for(timeout=60_000)
    page.wait_for_function(opened, timeout=60_000)
    page.close()


def test_three_users_get_exactly_the_published_order_and_no_task_twice(api, backend, connected):
    head = published(backend, connected)
    users = [api.sign_up(f"annotator{number}@test.local") for number in range(3)]
    # The browser left rank 1 open for the first user, who gets it back; the others go on behind it.
    served = []
    for turn in range(15):
        user = users[turn % 3]
        task = user.next(connected)
        served.append(task["id"])
        user.annotate(task["id"], "disc")
    locked = [task for task in head[: len(served) + 1] if task not in served]
    assert len(served) == len(set(served))
    assert len(locked) <= 1, "only the task that the browser holds open is passed over"
    assert served == [task for task in head if task not in locked][: len(served)]
    wait_for(backend, connected, lambda now: now["labeled"] == 15 and now["annotators"] == 3)


def test_later_images_are_embedded_and_join_the_order(api, backend, connected, drawn):
    before = status(backend, connected)
    api.import_images(connected, drawn(400)[300:])
    now = wait_for(backend, connected, ordered(400))
    assert now["version"] != before["version"]
    newest = set(api.task_ids(connected)[300:])
    assert newest & set(published(backend, connected)), "some of the new images are among the next ones"


def test_deleting_tasks_breaks_nothing(api, backend, connected):
    head, before = published(backend, connected), status(backend, connected)["tasks"]
    gone = [head[0], head[1], head[7], head[-1]]
    api.delete_tasks(connected, gone)
    user = api.sign_up("deleter@test.local")
    assert user.next(connected)["id"] == next(task for task in head if task not in gone)
    now = wait_for(backend, connected, lambda now: now["tasks"] == before - 4)
    assert not now["error"]
    assert not set(gone) & set(published(backend, connected))


def test_a_person_who_changes_the_sampling_is_respected(api, backend, connected):
    api.update_project(connected, sampling="Sequential sampling")
    now = wait_for(backend, connected, lambda now: now["paused"], what="pause")
    assert "Sequential sampling" in now["paused"]
    assert api.project(connected)["sampling"] == "Sequential sampling"
    api.update_project(connected, sampling=UNCERTAINTY)
    wait_for(backend, connected, lambda now: not now["paused"], what="going on")


def test_an_empty_version_is_restored_and_an_older_order_is_kept_when_chosen(api, backend, connected):
    version = status(backend, connected)["version"]
    api.update_project(connected, model_version="")
    deadline = time.monotonic() + 90
    while api.project(connected)["model_version"] != version:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    older = backend.command("orders", str(connected), "--json")["orders"][-1]["version"]
    assert older != version
    api.update_project(connected, model_version=older)
    now = wait_for(backend, connected, lambda now: now["hold"], what="hold")
    assert now["version"] == older
    api.update_project(connected, model_version=version)
    wait_for(backend, connected, lambda now: not now["hold"] and now["version"] == version, what="the newest order")


def test_extra_params_change_the_order_and_junk_changes_nothing(api, backend, connected):
    before = status(backend, connected)
    api.set_extra_params(connected, "junk")
    now = wait_for(backend, connected, lambda now: now["settings_error"], what="the error")
    assert "not JSON" in now["settings_error"] and now["version"] == before["version"]
    api.set_extra_params(connected, '{"strategy": "random"}')
    now = wait_for(backend, connected, lambda now: now["strategy"] == "Random", what="the strategy")
    assert now["settings_error"] == "" and now["version"].endswith("Random")
    assert api.project(connected)["model_version"] == now["version"]


def test_removing_the_backend_gives_the_queue_back(api, backend, connected):
    api.disconnect(connected)
    api.update_project(connected, title="queue without backend")
    wait_for(backend, connected, lambda now: "not connected" in now["paused"], what="removal")
    assert api.project(connected)["sampling"] == "Sequential sampling"


def test_the_head_is_refilled_before_it_runs_dry(api, backend, drawn):
    """With a head of 10 (30 published), 70 annotations need several refills; every task comes from the order."""
    project = api.create_project("refill", CONFIG)
    api.import_images(project, drawn(300)[:90])
    api.connect(project, backend.url, extra_params={"horizon": 10})
    wait_for(backend, project, lambda now: now.get("covers") == 90 and not now["pending"])
    known = published(backend, project)
    assert len(known) == 30
    user, strangers = api.sign_up("refill@test.local"), []
    for number in range(70):
        task = user.next(project)["id"]
        if task not in known:
            known = published(backend, project)
        if task not in known:
            strangers.append((number, task))
        user.annotate(task, "star")
    assert strangers == []
    wait_for(backend, project, lambda now: now["labeled"] == 70)
    versions = {now["version"] for now in [status(backend, project)]}
    assert len(versions) == 1


def test_the_same_images_give_the_same_order_with_any_number_of_workers(api, serve, drawn):
    """Two fresh backends, one with one worker and one with two, and projects with the same images."""
    orders = []
    for workers in (1, 2):
        with serve(LABELQUEUE_WORKERS=str(workers)) as other:
            project = api.create_project(f"workers {workers}", CONFIG)
            # Random controls go by the tasks' ids, which differ between the two projects.
            api.connect(project, other.url, extra_params={"seed": -5, "control_share": 0, "horizon": 100})
            api.import_images(project, drawn(300)[:100])
            wait_for(other, project, lambda now: now.get("covers") == 100 and not now["pending"])
            first = min(api.task_ids(project))
            orders.append([task - first for task in published(other, project)])
            api.disconnect(project)
    assert len(orders[0]) == 100
    assert orders[0] == orders[1]


def test_what_happened_while_the_backend_was_down_is_repaired(api, serve, drawn, tmp_path_factory):
    images = drawn(300)
    with serve() as first:
        project = api.create_project("outage", CONFIG)
        api.connect(project, first.url)
        api.import_images(project, images[:20])
        wait_for(first, project, ordered(20))
        home, port = first.home, first.port
        first.stop()
        user = api.sign_up("outage@test.local")
        task = user.next(project)["id"]
        user.annotate(task, "disc")
        api.import_images(project, images[20:30])
        api.delete_tasks(project, [min(set(api.task_ids(project)) - {task})])
        with serve(home=home, port=port) as second:
            now = wait_for(second, project, lambda now: now["tasks"] == 29 and now["covers"] == 29)
            assert now["labeled"] == 1
            api.disconnect(project)


def test_a_lost_redis_is_rebuilt_and_no_version_is_used_twice(api, serve, drawn):
    with serve() as first:
        project = api.create_project("lost redis", CONFIG)
        api.import_images(project, drawn(300)[:20])
        api.connect(project, first.url)
        version = wait_for(first, project, ordered(20))["version"]
        first.stop()
        shutil.rmtree(first.home / "redis")
        with serve(home=first.home, port=first.port) as second:
            api.update_project(project, title="found again")  # its webhook tells the backend of the project
            now = wait_for(second, project, lambda now: now["covers"] == 20)
            assert now["version"] != version and now["version"].startswith("r2·")
            assert api.project(project)["model_version"] == now["version"]
            api.disconnect(project)
            api.update_project(project, title="given back")
            wait_for(second, project, lambda now: "not connected" in now["paused"], what="removal")
            assert api.project(project)["sampling"] == "Sequential sampling"


def test_bad_images_are_quarantined_and_come_last(api, backend, drawn):
    project = api.create_project("bad images", CONFIG)
    api.connect(project, backend.url)
    api.import_images(project, drawn(300)[::30])  # far apart in their bursts: near-duplicates wait behind what waits
    api.import_tasks(
        project,
        [
            {"image": "/data/upload/1/not-there.jpg"},
            {"image": "http://169.254.169.254/latest/meta-data"},
            {"image": "data:image/png;base64,AAAA"},
            {"image": []},
        ],
    )
    now = wait_for(backend, project, lambda now: now["quarantined"] == 4 and now["covers"] == 10)
    assert now["tasks"] == 14
    bad = {int(task) for task in now["bad_images"]}
    assert set(published(backend, project)[-4:]) == bad
    api.disconnect(project)


def test_a_project_without_images_says_so(api, backend):
    text = '<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="a"/></Choices></View>'
    project = api.create_project("text only", text)
    api.connect(project, backend.url)
    now = wait_for(backend, project, lambda now: now["error"], what="the error")
    assert "no <Image>" in now["error"]
    api.disconnect(project)


def test_basic_auth_end_to_end(api, serve, drawn):
    """With credentials, Label Studio's calls carry them and its webhook carries the project's secret."""
    with serve(BASIC_AUTH_USER="ls", BASIC_AUTH_PASS="secret word") as other:
        project = api.create_project("guarded", CONFIG)
        api.connect(project, other.url, user="ls", password="secret word")
        wait_for(other, project, lambda now: now["title"] == "guarded", what="the first visit")
        deadline = time.monotonic() + 60
        while not any("X-Labelqueue-Secret" in (hook["headers"] or {}) for hook in api.webhooks(project)):
            assert time.monotonic() < deadline, "the webhook never got its secret"
            time.sleep(0.5)
        api.import_images(project, drawn(300)[:10])
        wait_for(other, project, ordered(10))
        api.disconnect(project)


def test_boxes_use_five_patterns_per_image(api, backend, drawn):
    config = (
        '<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">'
        '<Label value="disc"/></RectangleLabels></View>'
    )
    project = api.create_project("boxes", config)
    api.connect(project, backend.url)
    api.import_images(project, drawn(300)[:30])
    wait_for(backend, project, ordered(30))
    assert len(published(backend, project)) == 30
    api.disconnect(project)
