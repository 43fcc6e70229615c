"""Images in cloud storages of a real Label Studio, and everything it has in persistent storage, from a real S3 server.

Label Studio calls itself otherwise than we call it, and under a sub-path.
"""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest

from e2e.cloud import put, s3_server, sub_path
from e2e.conftest import ACCOUNT, EXECUTABLE, TEMPLATE
from e2e.harness import Backend, LabelStudioApi, free_port
from labelqueue.demo import server as demo_server
from labelqueue.demo.server import LabelStudioServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    '<Choice value="disc"/><Choice value="star"/></Choices></View>'
)
SECRETS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
EACH = 12  # images of each kind


@pytest.fixture(scope="module")
def cloud():
    with s3_server() as running:
        yield running


@pytest.fixture(scope="module")
def studio(cloud, tmp_path_factory):
    """A Label Studio that is told to be http://localhost:PORT/label: its server, that name, what its proxy
    was asked and the folder of its local files."""
    url, _ = cloud
    put(url, "uploads", {})
    port, public = free_port(), free_port()
    name = f"http://localhost:{public}/label"
    plain = demo_server.server_environment
    told = {
        "LABEL_STUDIO_HOST": name,
        "STORAGE_TYPE": "s3",
        "STORAGE_AWS_ACCESS_KEY_ID": "test",
        "STORAGE_AWS_SECRET_ACCESS_KEY": "test",
        "STORAGE_AWS_BUCKET_NAME": "uploads",
        "STORAGE_AWS_REGION_NAME": "us-east-1",
        "STORAGE_AWS_ENDPOINT_URL": url,
        "USE_NGINX_FOR_UPLOADS": "false",
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": str(tmp_path_factory.mktemp("files")),
    }
    data = tmp_path_factory.mktemp("label-studio")
    server = LabelStudioServer(EXECUTABLE, data, port, account=ACCOUNT, template=TEMPLATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_server, "server_environment", lambda *arguments: plain(*arguments) | told)
        server.start()
    with sub_path(server.url, "/label", public) as asked:
        yield server, name, asked, Path(told["LOCAL_FILES_DOCUMENT_ROOT"])
    server.stop()


def connect_storage(api, project, bucket, endpoint, *, presign):
    body = {**SECRETS, "project": project, "title": bucket, "bucket": bucket, "s3_endpoint": endpoint}
    made = api.call("POST", "/api/storages/s3/", json={**body, "use_blob_urls": True, "presign": presign})
    api.call("POST", f"/api/storages/s3/{made['id']}/sync", json={})


def wait_until_embedded(backend, project, count):
    deadline = time.monotonic() + 180
    while True:
        now = backend.get(f"/projects/{project}")
        if now.get("embedded") == count and not now["pending"]:
            return now
        assert not now.get("bad_images") and time.monotonic() < deadline, now
        time.sleep(0.5)


@pytest.mark.parametrize("way", ["past the proxy", "by the sub-path"])
def test_images_of_every_storage_are_embedded_and_the_key_stays_with_label_studio(cloud, studio, drawn, way):
    url, s3_asked = cloud
    server, name, proxy_asked, files = studio
    ours = server.url if way == "past the proxy" else name.replace("localhost", "127.0.0.1")
    api = LabelStudioApi(server.url, ACCOUNT.token)
    project = api.create_project(f"storages {way}", CONFIG)
    images, prefix = drawn(4 * EACH), way.split()[0]
    for number, kind in enumerate(("signed", "handed")):
        put(url, f"{prefix}-{kind}", dict(images[number * EACH : (number + 1) * EACH]))
        connect_storage(api, project, f"{prefix}-{kind}", url, presign=kind == "signed")
    api.import_images(project, images[2 * EACH : 3 * EACH])
    folder = files / f"{prefix} files"
    folder.mkdir()
    for file, data in images[3 * EACH :]:
        (folder / file).write_bytes(data)
    body = {"project": project, "title": "files", "path": str(folder), "use_blob_urls": True}
    made = api.call("POST", "/api/storages/localfiles/", json=body)
    api.call("POST", f"/api/storages/localfiles/{made['id']}/sync", json={})
    shown = api.call("GET", f"/api/tasks?project={project}&page_size=1000&fields=all")["tasks"]
    held = [task["data"]["image"] for task in shown]
    assert sum(address.startswith(f"{name}/tasks/") for address in held) == 2 * EACH
    assert sum(address.startswith(f"{name}/storage-data/uploaded/?filepath=") for address in held) == EACH
    assert sum(address.startswith(f"{name}/data/local-files/?d=") for address in held) == EACH
    # As people paste them into tasks: what Label Studio shows, and what they read in the bucket's own list.
    pasted = held[: 2 * EACH] + [f"s3://{prefix}-handed/{file}" for file, _ in images[EACH : 2 * EACH]]
    api.import_tasks(project, [{"data": {"image": address}} for address in pasted])

    s3_asked.clear()
    proxy_asked.clear()
    with Backend(ours, ACCOUNT.token, LABELQUEUE_ALLOW_HOSTS=url.removeprefix("http://")) as backend:
        api.connect(project, backend.url)
        wait_until_embedded(backend, project, 7 * EACH)
        assert sum("signed/" in path and "Signature=" in path for _, path, _ in s3_asked) >= EACH
        assert not any(ACCOUNT.token in authorization for _, _, authorization in s3_asked)
        assert bool(proxy_asked) == (way == "by the sub-path")  # a name is not asked, only LABEL_STUDIO_URL is
        assert all(ACCOUNT.token in authorization for _, _, authorization in proxy_asked)
    api.close()


def test_what_cannot_be_had_says_the_way_out(cloud, studio, drawn):
    url, _ = cloud
    server, name, *_ = studio
    api = LabelStudioApi(server.url, ACCOUNT.token)
    project = api.create_project("ways out", CONFIG)
    put(url, "private", dict(drawn(1)))
    connect_storage(api, project, "private", url, presign=True)
    encoded = base64.urlsafe_b64encode(b"s3://elsewhere/cat.png").decode()
    addresses = ["s3://elsewhere/cat.png", f"{name}/tasks/1/resolve/?fileuri={encoded}"]
    addresses.append(f"http://labels.invalid/tasks/1/resolve/?fileuri={encoded}")
    api.import_tasks(project, [{"data": {"image": address}} for address in addresses])
    with Backend(server.url, ACCOUNT.token) as backend:
        api.connect(project, backend.url)
        deadline = time.monotonic() + 120
        while len(bad := backend.get(f"/projects/{project}").get("bad_images", {})) < 4:
            assert time.monotonic() < deadline, bad
            time.sleep(0.5)
    reasons = [bad[task] for task in sorted(bad, key=int)]
    assert "127.0.0.1 to LABELQUEUE_ALLOW_HOSTS" in reasons[0]
    assert all("connect the s3 storage that holds it" in reason for reason in reasons[1:3])
    assert "add that name to LABEL_STUDIO_ALIASES" in reasons[3]
    assert not any("Signature" in reason or ACCOUNT.token in reason for reason in reasons)
    api.close()
