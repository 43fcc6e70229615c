"""A project that is deleted in a real Label Studio: its denial, its list and its key, as they really look."""

from __future__ import annotations

import pytest

from e2e.conftest import ACCOUNT
from e2e.test_queue import CONFIG
from labelqueue.exceptions import NotFoundError
from labelqueue.labelstudio.client import LabelStudio
from labelqueue.reading.presence import BELIEVED_AFTER, find_remote
from labelqueue.state.project import ASIDE, Project, ProjectRef

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NOW = 1_900_000_000.0


def test_a_deleted_project_is_proven_gone_set_aside_and_forgotten(api, label_studio, store):
    client = LabelStudio(label_studio.url, ACCOUNT.token)
    numbers = [api.create_project(f"presence {number}", CONFIG) for number in range(3)]
    assert set(numbers) <= {row["id"] for row in client.projects()}
    ref = ProjectRef.from_api(label_studio.url, client.project(numbers[0]))
    project = Project(store, ref)
    project.register()
    assert find_remote(project, client, NOW)["id"] == numbers[0]
    assert project.get("organization") == str(client.whoami()["active_organization"])

    api.call("DELETE", f"/api/projects/{numbers[0]}")
    with pytest.raises(NotFoundError) as denial:
        client.project(numbers[0])
    assert denial.value.proven
    with pytest.raises(NotFoundError) as page:
        client._json("GET", "/not-a-page-of-the-api/")
    assert not page.value.proven
    for hour in range(25):
        assert find_remote(project, client, NOW + 3600 * hour) is None
    assert float(project.get("set_aside")) == NOW + BELIEVED_AFTER
    find_remote(project, client, NOW + BELIEVED_AFTER + ASIDE)
    assert Project.all(store) == []
    for number in numbers[1:]:
        api.call("DELETE", f"/api/projects/{number}")
