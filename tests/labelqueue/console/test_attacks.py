"""What strangers, hostile names and odd calls come to: nothing of theirs runs or changes anything, and all is told."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from labelqueue import admin
from labelqueue.block import source_hash
from labelqueue.console import pages
from labelqueue.console.charts import Line, bars, line_chart
from labelqueue.gallery import Thumbnails
from labelqueue.jobs.living import heartbeat, name_worker
from labelqueue.labels.annotations import UNLABELED
from labelqueue.ordering.order import Order, Place
from labelqueue.state.orders import Orders
from labelqueue.state.task_row import TaskRow
from labelqueue.web.app import create_app
from standing import standing

HTML = {"Accept": "text/html,application/xhtml+xml"}
NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "</title></textarea></svg><b>",
    "javascript:alert(1)//`code` {{ 7 * 7 }}",
    "line\r\nSet-Cookie: a=b\u2028\x00\x1b[2J",
    "\u202eلاعب\u2066",
    "w" * 3000,
)
# Of a page: whatever is beside them came in by a name.
ELEMENTS = frozenset(
    [
        "a",
        "body",
        "br",
        "button",
        "canvas",
        "caption",
        "circle",
        "code",
        "datalist",
        "dd",
        "desc",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "fieldset",
        "form",
        "g",
        "h1",
        "h2",
        "h3",
        "head",
        "header",
        "html",
        "img",
        "input",
        "kbd",
        "label",
        "legend",
        "li",
        "line",
        "link",
        "main",
        "meta",
        "nav",
        "noscript",
        "ol",
        "option",
        "p",
        "path",
        "polygon",
        "polyline",
        "progress",
        "rect",
        "script",
        "section",
        "select",
        "span",
        "strong",
        "summary",
        "svg",
        "table",
        "tbody",
        "td",
        "template",
        "text",
        "textarea",
        "th",
        "thead",
        "time",
        "title",
        "tr",
        "ul",
    ]
)
ADDRESSES = ("", *(f"/7/{view}" for view in pages.TABS if view != "overview"), "/7", "/7/orders/3", "/7/like/5")
ADDRESSES += ("/7/settings/preview?seed=4", "/7/queue?controls=1", "/7/health/doctor")


class Elements(HTMLParser):
    """What a browser would make of a page, roughly."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def hostile(request, project):
    """A project of which everything that others name is hostile."""
    word = request.param
    short = word[:200]
    project.put_tasks({task: TaskRow(f"http://h/{word}{task}", UNLABELED) for task in range(5, 9)})
    places = (
        Place(5, f"{word}: 0.4", prelabel=word),
        Place(6, word, control=True),
        Place(7, f"near-duplicate {word}"),
        Place(8, f"left out {word}"),
    )
    for number, strategy in ((2, "FreeSel"), (3, word)):
        facts = {"parameters": {word: word, "control_share": 0.1}, "created_at": 1.0, "why": word}
        order = Order(number, f"r{number}·k7f {short}", strategy=strategy, places=places, **facts)
        Orders(project).save(order)
        Orders(project).go_live(order)
    admin.pin(project, [5])
    if told := " ".join(short.split()):
        admin.exclude(project, [6], told, word)
    project.quarantine({8: (f"data:{word}", word)})
    stored = {"label_map": json.dumps({"target": {word: word}}), "balance": word}
    project.set(
        title=word, paused=word, hold=word, error=word, rollback_error=word, rollback_wanted=word, note_error=word
    )
    project.set(people=json.dumps({"3": word}), standing=json.dumps(standing(word, word + "2")), settings_error=word)
    project.set(counts=json.dumps({"tasks": 4, "labeled": 1, "skipped": 0}), head_left="3", full_at="1.0", **stored)
    heartbeat(project.store, name_worker("embedding"))
    return word


@pytest.mark.parametrize("hostile", NASTY, indirect=True, ids=range(len(NASTY)))
def test_no_name_becomes_an_element(client, hostile):
    for address in ADDRESSES:
        answer = client.get(f"/console{address}", headers=HTML)
        html = answer.get_data(as_text=True)
        assert answer.status_code == 200, (address, html)
        for tag, attrs in Elements(html).found:
            assert tag in ELEMENTS, (address, tag, attrs)
            assert not [name for name in attrs if name.startswith("on") or name == "style"], (address, tag, attrs)
            for name in ("src", "href", "action", "formaction"):
                target = attrs.get(name) or "#"  # a template's links are filled in by a script
                assert re.match("/console|#|http://label-studio.test/projects/7/data", target), (address, tag, attrs)
            if tag == "script":
                assert attrs["src"].startswith("/console/static/"), (address, attrs)
        assert "49" not in re.findall(r"code` (\S+)", html)


@pytest.mark.parametrize("word", NASTY, ids=range(len(NASTY)))
def test_no_name_becomes_a_part_of_a_drawing(word):
    drawn = line_chart(
        word, word, word, [Line(word, [(1.0, 0.5), (2.0, 0.7)], 1)], x_name=word, goal=0.9, mark=(2.0, word)
    )
    drawn += bars(word, word, [(word, 3)], word)
    found = Elements(str(drawn)).found
    assert {tag for tag, _ in found} <= ELEMENTS - {"script", "img", "a", "b"}
    assert not [attrs for _, attrs in found if any(name.startswith("on") for name in attrs)]


def posts(app):
    """Every address of the console that takes a POST, filled in."""
    filled = {"number": "7", "task": "5", "act": "1", "name": "pause", "of": "5"}
    for rule in app.url_map.iter_rules():
        if "POST" in rule.methods and rule.rule.startswith("/console"):
            act = "pin" if rule.endpoint == "console.curate" else "1"
            yield re.sub(r"<(?:\w+:)?(\w+)>", lambda part, act=act: {**filled, "act": act}[part[1]], rule.rule)


def state_of(store, project):
    """Everything that is kept of the project, and which jobs wait."""
    return {key: store.dump(key) for key in sorted(store.keys("*")) if key not in (b"lq:form_key", b"lq:probe")}


def test_without_our_token_nothing_is_done(client, deployment, store, project):
    project.put_tasks({5: TaskRow("/5.jpg", UNLABELED)})
    client.page("/7")
    addresses, before = list(posts(client.application)), state_of(store, project)
    assert len(addresses) > 10 and not [address for address in addresses if "<" in address]
    body = {"tasks": [5], "reason": "x", "act": 1, "of": "5", "order": "1", "do": "save", "seed": "5"}
    for address in addresses:
        for token in ("", "0" * 64, "é", "x\u2603"):
            form = client.post(address, data={**body, "token": token}, headers=HTML)
            assert form.status_code == 400 and "load it again" in form.get_data(as_text=True), address
        script = client.post(address, json=body, headers={"X-Labelqueue-Token": "0" * 64})
        assert script.status_code == 400 and "load it again" in script.get_json()["error"], address
        assert client.post(address, json=body).status_code == 400, address
    assert state_of(store, project) == before


FOREIGN = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
)


@pytest.mark.parametrize("foreign", FOREIGN, ids=range(len(FOREIGN)))
def test_other_pages_cannot_send_anything_with_a_stolen_token(client, store, project, foreign):
    project.put_tasks({5: TaskRow("/5.jpg", UNLABELED)})
    token = re.search(r'data-token="([^"]+)"', client.page("/7"))[1]
    before = state_of(store, project)
    for address in posts(client.application):
        answer = client.post(address, data={"token": token, "of": "5"}, headers={**HTML, **foreign})
        assert answer.status_code == 403, address
    assert state_of(store, project) == before


@pytest.mark.parametrize(
    "address", ["", "/7", "/7/queue", "/7/map", "/7/settings", "/7/thumbs/5", "/static/console.js"]
)
def test_no_page_is_put_into_a_frame(client, project, address):
    headers = {**HTML, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    assert client.get(f"/console{address}", headers=headers).status_code == 403
    opened = client.get(f"/console{address}", headers=HTML)
    assert "frame-ancestors 'none'" in opened.headers["Content-Security-Policy"]
    assert opened.headers["X-Frame-Options"] == "DENY"


ODD = [
    "/7/..%2f..%2fetc/passwd",
    "/static/../pages.py",
    "/static/%2e%2e/pages.py",
    "/static/..%5cpages.py",
    "/static//etc/passwd",
    "/static/%00",
    "/7//queue",
    "//7",
    "/7/orders/../../../health",
    "/-7",
    "/7.0/queue",
    "/٧/queue",
    "/7/like/-1",
    "/7/thumbs/5/..",
    f"/{'9' * 19}",
    f"/7/like/{'9' * 19}",
    f"/7/like/{'9' * 18}",
    f"/{'9' * 18}/map/facts",
    "/7/map/columns/..%2fids",
    "/7/orders/" + "9" * 5000,
    "/7/orders/%F0%28%8C%28",
    "/7/orders/r1%0d%0aSet-Cookie:a=b",
    "/<script>",
]


@pytest.mark.parametrize("address", ODD)
def test_odd_addresses_lead_nowhere(client, project, address):
    answer = client.get(f"/console{address}", headers=HTML)
    html = answer.get_data(as_text=True)
    assert answer.status_code in (404, 400), (answer.status_code, html)
    assert "<script>" not in html and "Traceback" not in html and "Set-Cookie" not in answer.headers
    assert len(html) < 20_000, "an address that is told is cut"


def test_wrong_methods_are_told(client, project):
    for address in posts(client.application):
        answer = client.put(address, headers=HTML)
        assert answer.status_code == 405, address
        assert "POST" in answer.get_json()["error"], address


@pytest.mark.parametrize(
    ("address", "body", "told"),
    [
        ("/map/pin", {"tasks": list(range(1, 10_002))}, "10,001 tasks are named: 10,000 is the most at once"),
        ("/map/exclude", {"tasks": list(range(1, 10_002)), "reason": "x"}, "10,001 tasks are named"),
        ("/map/details", {"tasks": list(range(1, 202))}, "201 tasks are named: 200 is the most"),
        ("/map/near", {"tasks": list(range(1, 1_002))}, "1,001 tasks are named: 1,000 is the most"),
        ("/map/pin", {"tasks": []}, "a list of task ids"),
        ("/map/pin", {"tasks": "5"}, "a list of task ids"),
        ("/map/pin", {"tasks": [True]}, "no task id"),
        ("/map/pin", {"tasks": [5.5]}, "no task id"),
        ("/map/pin", {"tasks": [-5]}, "no task id"),
        ("/map/pin", {"tasks": [2**63]}, "no task id"),
        ("/map/pin", {"tasks": [[5]]}, "no task id"),
        ("/map/pin", {"tasks": ["<script>alert(1)</script>" * 900]}, "no task id"),
        ("/map/pin", {"tasks": [5, 99]}, "99"),
        ("/map/exclude", {"tasks": [5], "reason": ""}, "say in a few words"),
        ("/map/exclude", {"tasks": [5], "reason": ["x"]}, "reason"),
        ("/map/exclude", {"tasks": [5], "reason": "x" * 201}, "200 is the most"),
        ("/map/undo", {"act": 10**17}, "no act"),
        ("/map/undo", {"act": "1; drop"}, "number of one"),
    ],
)
def test_calls_of_scripts_are_bounded_and_told(client, store, project, address, body, told):
    project.put_tasks({5: TaskRow("/5.jpg", UNLABELED)})
    token = re.search(r'data-token="([^"]+)"', client.page("/7"))[1]
    before = state_of(store, project)
    answer = client.post(f"/console/7{address}", json=body, headers={"X-Labelqueue-Token": token})
    assert answer.status_code in (400, 404), answer.get_data(as_text=True)
    assert told in answer.get_json()["error"] and len(answer.get_json()["error"]) < 600
    assert answer.content_type == "application/json" and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert state_of(store, project) == before


@pytest.mark.parametrize("raw", [b"", b"[1]", b"{", b"\xff\xfe", b'{"tasks": [NaN]}', b"[" * 5000, b'{"act": 1e999}'])
def test_bodies_that_are_no_calls_are_told(client, project, raw):
    token = re.search(r'data-token="([^"]+)"', client.page("/7"))[1]
    for address in ("pin", "exclude", "details", "near", "undo"):
        headers = {"X-Labelqueue-Token": token, "Content-Type": "application/json"}
        answer = client.post(f"/console/7/map/{address}", data=raw, headers=headers)
        assert answer.status_code == 400 and answer.get_json()["error"], address


@pytest.mark.parametrize("value", ["5\r\nX: y", "-1", "٣", "1e3", "", "9" * 19, "<script>"])
def test_numbers_of_forms_are_numbers(client, project, value):
    token = re.search(r'data-token="([^"]+)"', client.page("/7"))[1]
    for address, name in (("queue/pin", "of"), ("queue/undo", "of"), ("health/again", "of"), ("like/5", "task")):
        answer = client.post(f"/console/7/{address}", data={"token": token, name: value}, headers=HTML)
        assert answer.status_code in (400, 303) and "<script>" not in answer.get_data(as_text=True), address
        if answer.status_code == 303:
            assert value == "" and answer.location.startswith("/console/7/")


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "/\\evil.example", "/console/7/\r\nX-A: b"]
)
def test_nobody_is_led_elsewhere(client, project, back):
    project.put_tasks({5: TaskRow("/5.jpg", UNLABELED)})
    act = admin.pin(project, [5])["act"]
    token = re.search(r'data-token="([^"]+)"', client.page("/7"))[1]
    answer = client.post(f"/console/7/undo/{act}", data={"token": token, "back": back}, headers=HTML)
    assert answer.status_code == 303 and answer.location.startswith("/console/7/") and "X-A" not in answer.headers


@pytest.mark.parametrize("note", ["../form_key", "form_key", "*", "0" * 32, "0" * 5000, "%00"])
def test_a_note_is_one_of_ours_or_none(client, store, project, note):
    client.page("/7")
    html = client.page(f"/7?note={note}")
    assert 'class="notice done"' not in html and 'class="notice failed" role' not in html
    assert store.get("lq:form_key").decode() not in html


def test_thumbnails_are_pictures_whatever_they_hold(client, project):
    project.put_tasks({5: TaskRow("/5.jpg", UNLABELED)})
    source = source_hash("/5.jpg")
    Thumbnails(project).put({5: (source, b"<html><script>alert(1)</script>")}, 1_000_000)
    for query in ("", f"?v={source:016x}", f"?v={source:016x}&again=1"):
        answer = client.get(f"/console/7/thumbs/5{query}")
        assert answer.content_type == "image/webp" and answer.headers["X-Content-Type-Options"] == "nosniff"
    for query in ("?v=<script>", "?v=" + "0" * 5000, "?v=%ff"):
        answer = client.get(f"/console/7/thumbs/5{query}")
        assert answer.status_code == 404 and answer.content_type == "application/json"


@pytest.mark.parametrize("host", ["queue.example.com", "127.0.0.1:9090"])
def test_forms_work_behind_a_proxy_that_adds_encryption(store, deployment, project, client, host):
    """Whether the proxy passes the name on that it was called by, or its own."""
    public = replace(deployment, public_url="https://queue.example.com", basic_auth_user="ann", basic_auth_pass="word")
    app = create_app(public)
    app.test_client_class = type(client)
    behind = app.test_client()
    browser = {**HTML, "Host": host, "X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.7"}
    ours = {"Origin": "https://queue.example.com", "Sec-Fetch-Site": "same-origin"}
    page = behind.get("/console/7", headers=browser, auth=("ann", "word"))
    token = re.search(r'data-token="([^"]+)"', page.get_data(as_text=True))[1]
    send = {"data": {"token": token}, "auth": ("ann", "word")}
    answer = behind.post("/console/7/switches/reconcile", headers={**browser, **ours}, **send)
    assert answer.status_code == 303 and answer.location.startswith("/console/7?note="), "by whatever scheme"
    for origin in ("http://queue.example.com", "https://queue.example.com.evil.example", "https://evil.example"):
        foreign = behind.post("/console/7/switches/pause", headers={**browser, "Origin": origin}, **send)
        assert foreign.status_code == 403 and "WWW-Authenticate" not in foreign.headers, "a password would not help"
    assert not project.get("paused") and not project.get("paused_by")
