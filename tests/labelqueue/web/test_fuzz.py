"""Whatever is called with whatever: an answer in JSON, never a 500."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calls import ODD, calls, changed, places
from labelqueue.ordering.order import Order, Place
from labelqueue.state.orders import Orders
from labelqueue.web.app import create_app

CALLS = calls()
VALUES = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FUZZ = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def client(store, deployment, project):
    for number in (1, 2):
        order = Order(
            number=number, version=f"r{number} FreeSel", strategy="FreeSel", parameters={}, generation="g", arrivals=1,
            labeled=0, embedded=1, created_at=1.0, places=(Place(4, "covers 1"),),
        )  # fmt: skip
        Orders(project).save(order)
        Orders(project).go_live(order)
    return create_app(deployment).test_client()


def check(answer):
    assert answer.status_code < 500, answer.text
    assert answer.mimetype == "application/json"
    if answer.request.method != "HEAD":
        assert answer.json["error"] if answer.status_code >= 400 else isinstance(answer.json, dict)


@FUZZ
@given(st.data())
def test_real_calls_with_one_thing_changed(client, data):
    method, path, body = data.draw(st.sampled_from(CALLS))
    where = data.draw(st.sampled_from(list(places(body))))
    check(client.open(path, method=method, data=json.dumps(changed(body, where, data.draw(VALUES)))))


@FUZZ
@given(st.data())
def test_real_calls_that_are_cut_or_damaged(client, data):
    method, path, body = data.draw(st.sampled_from(CALLS))
    content = json.dumps(body).encode()
    at = data.draw(st.integers(0, len(content)))
    content = content[:at] + data.draw(st.binary(max_size=3)) + content[at + data.draw(st.integers(0, 400)) :]
    check(client.open(path, method=method, data=content))


@FUZZ
@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "LINK"]),
    st.sampled_from(["/", "/health", "/versions", "/setup", "/predict", "/webhook", "/train", "/api/v1/projects"])
    | st.builds(
        "/api/v1/projects/{}/{}".format,
        st.sampled_from(["7", "8", "²", "٧", "-1", "1.5", "1" * 5000, "9" * 19, "%ED%A0%80", "%00", "..", ""]),
        st.sampled_from(["", "settings", "order", "orders", "orders/1", "orders/r2", "orders/", "rollback", "pause"])
        | st.sampled_from(["²", "1" * 5000, "r" + "9" * 30, "%ED%A0%80", "%FF", "a%0Ab", "/1"]).map("orders/{}".format)
        | st.sampled_from(["1" * 5000, "²", "-1", "", "%FF", "0", "10000", "1e3"]).map("order?limit={}".format),
    ),
    st.dictionaries(
        st.sampled_from(["Authorization", "Content-Type", "X-Labelqueue-Secret", "Host", "Cookie", "Accept", "Range"]),
        st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=20),
        max_size=3,
    ),
)  # fmt: skip
def test_any_method_on_any_path_with_any_header(client, method, path, headers):
    check(client.open(path, method=method, headers=headers))
