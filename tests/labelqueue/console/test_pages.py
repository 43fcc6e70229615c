"""Every page of the console: strict headers, escaped names, tokens, who may open it, what an error looks like."""

import re

import pytest

from conftest import CONFIG
from labelqueue.console import pages
from pages import HTML, NASTY, plain

ADDRESSES = ("", *(f"/7/{view}" for view in pages.TABS if view != "overview"), "/7")


@pytest.fixture
def client(store, deployment):
    return plain(deployment)


@pytest.fixture
def nasty(project):
    """A project whose every name is a script."""
    project.set(title=NASTY, paused=NASTY, label_config=CONFIG.replace("cat", NASTY.replace("<", "&lt;")))
    return project


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_page_is_strict_and_escaped(client, nasty, address):
    answer = client.get(f"/console{address}", headers=HTML)
    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"] == pages.POLICY and "unsafe" not in pages.POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    html = answer.get_data(as_text=True)
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert not re.search(r"<[^>]+\s(style|on\w+)\s*=", html), "the policy forbids what stands in attributes"
    assert "<title>" in html and '<html lang="en">' in html and html.count("<h1") == 1


def test_static_files_and_addresses_that_are_none(client, project):
    script = client.get("/console/static/console.js")
    assert script.status_code == 200 and script.headers["Content-Security-Policy"] == pages.POLICY
    assert "javascript" in script.content_type and script.headers["Cache-Control"] == "no-cache"
    missing = client.get("/console/nothing", headers=HTML)
    assert missing.status_code == 404 and "To all projects" in missing.get_data(as_text=True)
    unknown = client.get("/console/99", headers=HTML)
    assert unknown.status_code == 404 and "project 99" in unknown.get_data(as_text=True)
    assert client.get("/console/99").get_json()["error"].startswith("project 99")


def test_the_root_leads_people_there_and_programs_to_health(client):
    assert client.get("/", headers=HTML).location == "/console/"
    assert client.get("/").get_json() == {"status": "UP"} == client.get("/health").get_json()


def test_the_revision_changes_with_the_project(client, project):
    first = client.get("/console/7/revision")
    again = client.get("/console/7/revision", headers={"If-None-Match": first.headers["ETag"]})
    assert first.status_code == 200 and again.status_code == 304
    project.set(paused="by somebody")
    assert client.get("/console/7/revision", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_what_nobody_expected_is_told_without_what_it_was(client, project, monkeypatch):
    client.application.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setattr(pages, "revision_of", lambda project: 1 / 0)
    answer = client.get("/console/7", headers=HTML)
    assert answer.status_code == 500 and "log says what happened" in answer.get_data(as_text=True)
    assert "division" not in answer.get_data(as_text=True)


def test_commands_in_warnings_are_code(client, project):
    html = client.get("/console/7", headers=HTML).get_data(as_text=True)
    assert "Start <code>labelqueue serve</code>" in html and "`" not in html
