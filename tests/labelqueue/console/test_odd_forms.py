"""Forms with anything in them: each is taken or refused in words, and none fails."""

import json

import pytest

from calls import ODD
from labelqueue.console.forms import TOKEN_HEADER
from labelqueue.labels.annotations import UNLABELED
from labelqueue.settings import PROJECT
from labelqueue.state.task_row import TaskRow
from pages import browser
from published import publish

FORMS = {  # address to the fields that are odd at once
    "/7/queue/pin": (["of"],),
    "/7/queue/exclude": (["of"], ["reason"]),
    "/7/queue/undo": (["of"],),
    "/7/orders/rollback": (["order"],),
    "/7/settings": ([*PROJECT], ["seed", "do", "was-seed"]),
    "/7/health/again": (["of"],),
}


@pytest.mark.parametrize("address", FORMS)
def test_odd_values_are_refused_in_words(store, project, deployment, address):
    client = browser(deployment)
    project.put_tasks({1: TaskRow("/1.jpg", UNLABELED)})
    publish(project, "FreeSel")
    token = client.page("/7/queue").split('data-token="')[1].split('"')[0]
    usual = {} if "settings" in address else {"of": "1", "reason": "blurred"}
    for odd in ODD:
        for names in FORMS[address]:
            typed = usual | dict.fromkeys(names, odd)
            form = {name: str(value).encode(errors="replace").decode() for name, value in typed.items()}
            headers = {TOKEN_HEADER: token, "Accept": "text/html"}
            for options in ({"data": form | {"token": token}}, {"data": json.dumps(typed), "headers": headers}):
                answer = client.post(f"/console{address}", **options)
                assert answer.status_code in (303, 400, 404), (names, str(odd)[:40], answer.status_code)
