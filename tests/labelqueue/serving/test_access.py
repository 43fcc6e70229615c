"""Which web pages may call: ours, and links to the console from anywhere; every other is refused."""

from dataclasses import replace

import pytest

from labelqueue.serving import access
from labelqueue.web.app import create_app
from pages import HTML, plain

NAVIGATION = {**HTML, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture
def client(store, deployment):
    return plain(deployment)


@pytest.mark.parametrize(
    ("method", "path", "headers", "allowed"),
    [
        ("GET", "/console/7", NAVIGATION, True),
        ("GET", "/", NAVIGATION, True),
        ("GET", "/api/v1/projects", NAVIGATION, False),
        ("GET", "/console/7", {**NAVIGATION, "Sec-Fetch-Dest": "iframe"}, False),
        ("GET", "/console/7", {**NAVIGATION, "Sec-Fetch-Mode": "no-cors"}, False),
        ("GET", "/console/7", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, False),
        ("POST", "/console/7", NAVIGATION, False),
        ("GET", "/console/static/console.js", {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}, True),
        ("GET", "/console/7", {"Origin": "http://localhost"}, True),
        ("GET", "/console/7", {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"}, False),
        ("GET", "/console/7", {"Origin": "http://localhost:8080"}, False),
        ("GET", "/console/7", {"Origin": "null"}, False),
        ("GET", "/console/7", {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, False),
        ("GET", "/api/v1/projects/7", {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}, True),
        ("POST", "/api/v1/projects/7/retrain", {"Origin": "http://evil.example"}, False),
    ],
)
def test_which_pages_may_call(client, project, method, path, headers, allowed):
    answer = client.open(path, method=method, headers=headers)
    assert access.CONSOLE == "/console"
    assert (answer.status_code != 403) == allowed, answer.get_data(as_text=True)


def test_behind_a_proxy_the_public_address_is_ours(store, deployment, project):
    public = replace(
        deployment, public_url="https://queue.example.com", basic_auth_user="admin", basic_auth_pass="word"
    )
    client = create_app(public).test_client()
    known = {"Host": "queue.example.com", "Origin": "https://queue.example.com"}
    assert client.get("/console/7", headers=known, auth=("admin", "word")).status_code == 200
    assert client.get("/console/7", headers=known).status_code == 401
    other = {**known, "Host": "10.0.0.7:9090"}
    assert client.get("/console/7", headers=other, auth=("admin", "word")).status_code == 200, "a proxy's name for us"
    elsewhere = {**known, "Origin": "https://evil.example"}
    assert client.get("/console/7", headers=elsewhere, auth=("admin", "word")).status_code == 403
