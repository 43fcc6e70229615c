"""The page "Settings": the form that the table makes, all changes or none, errors beside the field, the preview."""

import re
import time
from html import unescape

import pytest

from desk import Desk
from labelqueue import admin
from labelqueue.console.settings import GROUPS, WAS
from labelqueue.jobs import living, queues
from labelqueue.pagework import answering
from labelqueue.settings import PROJECT
from labelqueue.worker.runtime import Runtime
from pages import NASTY, browser, text_of


@pytest.fixture
def client(store, deployment):
    return browser(deployment)


def field(html, name):
    """The part of the form that is about a setting."""
    return next(part for part in html.split('<div class="field">') if f'name="{WAS}{name}"' in part)


def form(html):
    """What a browser sends of the form when nobody typed anything."""
    sent = dict(re.findall(r'<input type="hidden" name="(was-[^"]*)" value="([^"]*)"', html))
    for name in PROJECT:
        part = field(html, name)
        if "<select" in part:
            sent[name] = re.search(r"<option selected>(.*?)</option>", part)[1]
        elif "<textarea" in part:
            sent[name] = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", part, re.S)[1]
        else:
            sent[name] = re.search(rf'name="{name}"[^>]* value="([^"]*)"', part)[1]
    return {name: unescape(value) for name, value in sent.items()}


def test_every_setting_is_in_one_group():
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(PROJECT)


def test_each_kind_has_its_control_and_tells_value_default_origin_and_help(client, project):
    admin.change_settings(project, {"seed": 7, "label_map": {"a": "cat"}}, "REST")
    html = client.page("/7/settings")
    for name, setting in PROJECT.items():
        assert setting.help.replace("`", "") in unescape(
            field(html, name).replace("<code>", "").replace("</code>", "")
        ), name
    strategy, share, horizon = field(html, "strategy"), field(html, "control_share"), field(html, "horizon")
    assert "<option selected>auto</option>" in strategy and "<option>entropy</option>" in strategy
    assert 'type="number" step="any" min="0" max="0.5" value="0.05"' in share and "Default: 0.05" in share
    assert 'step="1" min="10" max="5000" value=""' in horizon and 'placeholder="auto"' in horizon
    assert '<span class="badge">default</span>' in horizon
    seed = field(html, "seed")
    assert "set by REST" in seed and "<time" in seed and 'value="7"' in seed and "back to the default (0)" in seed
    assert "{&#34;a&#34;: &#34;cat&#34;}</textarea>" in field(html, "label_map")
    assert "<option>off</option>" in field(html, "prelabel") and 'list="words-prelabel"' in field(html, "prelabel")


def test_a_form_that_nobody_touched_changes_nothing(client, project):
    admin.change_settings(project, {"label_map": {"a": "cat"}, "budget": 100, "control_share": 0.1}, "REST")
    before = project.setting_choices()
    told = client.told(client.send("/7/settings", "/7/settings", **form(client.page("/7/settings")), do="save"))
    assert told.startswith("Nothing was changed") and project.setting_choices() == before


def test_several_fields_at_once_and_what_happens_next(client, project):
    living.heartbeat(project.store, living.name_worker("tending"))
    sent = form(client.page("/7/settings")) | {"strategy": "entropy", "horizon": "50", "label_map": '{"a": "cat"}'}
    told = client.told(client.send("/7/settings", "/7/settings", **sent, do="save"))
    assert "strategy = entropy" in told and "horizon = 50" in told and "a new one follows within seconds" in told
    assert project.settings()["label_map"] == {"a": "cat"} and project.settings()["horizon"] == 50
    assert project.setting_choices().keys() == {"strategy", "horizon", "label_map"}
    assert project.setting_choices()["horizon"].source == "console"
    assert project.store.get(project.name("queued")), "a look is asked for"
    for fact in ("paused", "hold"):
        project.set(**{"paused": "", "hold": "", fact: "x"})
        sent = form(client.page("/7/settings")) | {"seed": str(len(fact))}
        assert "once" in client.told(client.send("/7/settings", "/7/settings", **sent, do="save"))


def test_what_somebody_else_changed_meanwhile_stays(client, project):
    sent = form(client.page("/7/settings")) | {"seed": "3"}
    admin.change_settings(project, {"strategy": "random"}, "REST")
    client.send("/7/settings", "/7/settings", **sent, do="save")
    assert project.settings()["strategy"] == "random" and project.settings()["seed"] == 3


@pytest.mark.parametrize(
    ("name", "typed", "told"),
    [
        ("control_share", "0.7", "expected a number from 0 to 0.5"),
        ("strategy", NASTY, "allowed are auto"),
        ("trials", "", "expected a whole number"),
        ("label_map", "{", "expected an object of texts"),
        ("label_map", '{"a": "bird"}', "the label config has cat, dog"),
        ("target", "nothing", "'target' has value 'nothing'"),
        ("embedder", "imported x", "none were imported"),
        ("strategy", "bal_paper", "divides a budget"),
    ],
)
def test_an_error_stands_beside_its_field_and_nothing_is_changed(client, project, name, typed, told):
    sent = form(client.page("/7/settings")) | {"seed": "5", name: typed}
    answer = client.send("/7/settings", "/7/settings", 400, **sent, do="save")
    html = answer.get_data(as_text=True)
    place = "budget" if typed == "bal_paper" else name
    error = re.search(r'<p class="field-error" id="[^"]*">(.*?)</p>', field(html, place))
    assert error and told in unescape(error[1]) and 'aria-invalid="true"' in field(html, place)
    assert form(html)[name] == typed, "what was typed is kept"
    assert form(html)["seed"] == "5" and form(html)[f"{WAS}seed"] == "0"
    assert not project.setting_choices() and "<script>" not in html


def test_back_to_the_default(client, project):
    admin.change_settings(project, {"seed": 7, "strategy": "random"}, "REST")
    sent = form(client.page("/7/settings")) | {"default-seed": "1"}
    client.send("/7/settings", "/7/settings", **sent, do="save")
    assert project.setting_choices().keys() == {"strategy"}
    sent = form(client.page("/7/settings")) | {"default-strategy": "1", "strategy": "entropy"}
    html = client.send("/7/settings", "/7/settings", 400, **sent).get_data(as_text=True)
    assert "choose one of them" in field(html, "strategy") and project.settings()["strategy"] == "random"


def test_a_form_without_its_token_is_refused(client, project):
    assert client.post("/console/7/settings", data={"seed": "5", "was-seed": "0"}).status_code == 400
    assert not project.setting_choices()


def test_values_of_strangers_do_no_harm(client, project):
    admin.change_settings(project, {"balance": NASTY, "label_map": {NASTY: "cat"}}, NASTY)
    project.set(settings_error=NASTY)
    html = client.page("/7/settings")
    assert html.count("&lt;script&gt;") >= 5 and form(html)["balance"] == NASTY
    client.page(f"/7/settings/preview?balance={NASTY}")
    assert "expected" in client.page(f"/7/settings/preview?seed={NASTY}", 400)


@pytest.fixture
def desk(project, deployment):
    found = Desk(Runtime(deployment), project, 60)
    found.tend()
    return found


def answer(monkeypatch, desk):
    """Let an embedding worker answer what pages asked."""
    monkeypatch.setattr(answering, "current", lambda: desk.runtime)
    jobs = queues.queue(desk.project.store, "page")
    for job in jobs.jobs:
        monkeypatch.setattr(answering, "get_current_job", lambda job=job: job)
        answering.page_job(*job.args, **job.kwargs)
        jobs.remove(job)


def test_the_preview_waits_then_shows_what_goes_live(client, project, desk, monkeypatch):
    sent = form(client.page("/7/settings")) | {"cold_start": "kcenter"}
    address = client.send("/7/settings", "/7/settings", **sent, do="preview").location.removeprefix("/console")
    assert address == "/7/settings/preview?cold_start=kcenter"
    assert "No embedding worker runs" in client.page(address)
    living.heartbeat(project.store, living.name_worker("embedding"))
    waiting = client.page(address)
    assert "A worker drafts the order" in waiting and 'data-answer="/console/7/settings/preview?cold' in waiting
    assert client.get(f"/console{address}", headers={"Accept": "application/json"}).get_json() == {"waiting": True}
    answer(monkeypatch, desk)
    assert client.get(f"/console{address}", headers={"Accept": "application/json"}).get_json() == {"waiting": False}
    html = client.page(f"{address}&controls=1")
    assert re.search("<strong>K.*</strong> would follow", html) and desk.live.version.endswith("FreeSel")
    now, coming = (re.findall(r"<strong>task (\d+)</strong>", part) for part in html.split("<h2>")[1:])
    assert [int(task) for task in now] == [place.task for place in desk.live.places[:10]]
    apply = dict(re.findall(r'<input type="hidden" name="([a-z_-]+)" value="([^"]*)">', html.split("<form")[1]))
    client.send(address, "/7/settings", **{k: v for k, v in apply.items() if k != "token"}, do="save")
    desk.tend()
    assert [int(task) for task in coming] == [place.task for place in desk.live.places[:10]]
    assert project.setting_choices().keys() == {"cold_start"}


def test_a_preview_that_changes_nothing_or_fails_says_so(client, project, desk, monkeypatch):
    client.page("/7/settings/preview?retrain_every=50")
    answer(monkeypatch, desk)
    assert "No new order follows from this: the live order holds" in client.page("/7/settings/preview?retrain_every=50")
    project.set(generation="none")
    client.page("/7/settings/preview?seed=50")
    answer(monkeypatch, desk)
    told = text_of(client.page("/7/settings/preview?seed=50"))
    assert "No new order follows" in told or "There is no preview" in told
    assert "divides a budget" in client.page("/7/settings/preview?strategy=bal_paper", 400)


def test_a_preview_goes_back_to_the_default_and_to_the_form(client, project, desk):
    admin.change_settings(project, {"seed": 7}, "REST")
    html = client.page("/7/settings/preview?seed=&metric=cosine")
    assert '<input type="hidden" name="default-seed" value="1">' in html and "seed=default" in html
    assert form(client.page("/7/settings?metric=cosine&nothing=1"))["metric"] == "cosine"
    sent = form(client.page("/7/settings")) | {"label_map": '{"a": "cat"}' + " " * 5000}
    told = client.send("/7/settings", "/7/settings", 400, **sent, do="preview").get_data(as_text=True)
    assert "too long for a preview" in told


def test_two_who_ask_at_once_are_one_question(client, project, desk):
    started = time.monotonic()
    for _ in range(3):
        client.page("/7/settings/preview?seed=4")
    assert len(queues.queue(project.store, "page").jobs) == 1 and time.monotonic() - started < 30
