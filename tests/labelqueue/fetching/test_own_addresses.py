"""Which addresses are Label Studio's own: every form that it writes, under every name that it has."""

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.fetching.own_addresses import OwnAddresses, cloud_address, seeming_name, server_name

ENCODED = base64.urlsafe_b64encode(b"s3://bucket/cat \xc3\xa4.png").decode()
FILES = (
    "/data/upload/1/0a1b2c3d-cat.png",
    "/data/upload/1/0a1b2c3d-c%20t.png",
    "/data/local-files/?d=photos/cat.png",
    "/data/avatars/me.png",
    "/static/samples/sample.jpg",
    "/storage-data/uploaded/?filepath=upload/1/0a1b2c3d-cat.png",
    f"/tasks/7/resolve/?fileuri={ENCODED}",
    f"/tasks/7/presign/?fileuri={ENCODED}",
    f"/projects/3/resolve/?fileuri={ENCODED}",
    f"/api/tasks/7/presign/?fileuri={ENCODED}",
)
UNMISTAKABLE = [file for file in FILES if "avatars" not in file and "static" not in file]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("names", "start"),
    [
        (["http://label-studio:8080"], ""),
        (["http://label-studio:8080"], "http://label-studio:8080"),
        (["http://label-studio:8080"], "HTTP://Label-Studio.:8080"),
        (["http://label-studio:8080"], "https://label-studio:8080"),
        (["http://label-studio:8080"], "http://label-studio:8080/"),  # one slash too many
        (["http://ls"], "http://ls:80"),
        (["https://ls"], "https://ls:443"),
        (["http://ls"], "https://ls"),  # TLS ends in front of it
        (["http://ls:8080", "https://labels.example.com/"], "https://labels.example.com"),
        (["http://ls:8080", "labels.example.com"], "https://labels.example.com"),
        (["http://ls:8080/label"], ""),
        (["http://ls:8080/label"], "/label"),
        (["http://ls:8080/label/"], "http://ls:8080/label"),
        (["http://ls:8080", "https://labels.example.com/a/label"], "https://labels.example.com/a/label"),
        (["http://ls:8080", "https://labels.example.com/label"], "/label"),
        (["http://ls:8080/x", "https://labels.example.com"], "https://labels.example.com"),
        (["http://[::1]:8080"], "http://[::1]:8080"),
        (["http://ls:8080", "", "junk://x", "http://"], "http://ls:8080"),
    ],
)
def test_a_file_has_one_path_under_every_name(file, names, start):
    assert OwnAddresses(*names).path(start + file) == file


@pytest.mark.parametrize("file", UNMISTAKABLE)
@pytest.mark.parametrize("start", ["/any/sub-path", "http://ls:8080/any/sub-path"])
def test_a_sub_path_that_nobody_named_is_known_by_what_follows(file, start):
    assert OwnAddresses("http://ls:8080").path(start + file) == file


@pytest.mark.parametrize(
    ("names", "uri"),
    [
        (["http://ls:8080"], "http://ls:9000/data/upload/1/cat.png"),  # another server of that host
        (["http://ls:8080"], "http://ls/data/upload/1/cat.png"),
        (["http://ls:8080"], "http://ls.evil.example:8080/data/upload/1/cat.png"),
        (["http://ls:8080"], "http://ls:8080@evil.example/data/upload/1/cat.png"),
        (["http://ls:8080"], "https://cdn.example.com/data/upload/1/cat.png"),
        (["http://ls:8080"], f"https://cdn.example.com/tasks/7/resolve/?fileuri={ENCODED}"),
        (["http://ls:8080/label"], "http://ls:8080/labels/data/upload/1/cat.png"),
        (["http://ls:8080/label"], "http://ls:8080/label-2/data/upload/1/cat.png"),
        (["http://ls:8080/label"], "http://ls:8080/data/upload/1/cat.png"),  # another site of that host
        (["http://ls:8080"], "http://ls:8080/cdn/data/cat.png"),
        (["http://ls:8080"], "ftp://ls:8080/data/upload/1/cat.png"),
        (["http://ls:8080"], "//ls:8080/data/upload/1/cat.png"),
        (["http://ls:8080"], "data/upload/1/cat.png"),
        (["http://ls:8080"], "http://[/data/upload/1/cat.png"),
    ],
)
def test_what_is_somebody_elses_is_left_to_them(names, uri):
    assert OwnAddresses(*names).path(uri) is None


@pytest.mark.parametrize("start", ["", "http://ls:8080", "/label", "http://alias/label", "http://alias/any"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/current-user/token",
        "/user/account",
        "/data/../api/current-user/token",
        "/data/%2e%2e/api/current-user/token",
        "/data/%252e%252e/api/current-user/token",
        "/data/..%2fapi/current-user/token",
        "/data/upload/..\\api\\current-user\\token",
        "/data/%5c..%5capi/current-user/token",
        "/static/x/../../api/current-user/token",
        "/tasks/7/resolve/../../../api/current-user/token?fileuri=x",
        "/tasks/7/",
        "/api/tasks/7?fileuri=x",
        "/tasks/x/resolve/?fileuri=x",
        "/database/upload/x.png",
        "/storage-database/x",
    ],
)
def test_the_key_opens_nothing_but_files(start, path):
    assert OwnAddresses("http://ls:8080", "http://alias/label").path(start + path) is None


def test_a_slash_that_was_left_out_is_set():
    own = OwnAddresses("http://ls:8080")
    assert own.path("http://ls:8080/data/local-files?d=a.png") == "/data/local-files/?d=a.png"
    assert own.path(f"/label/tasks/7/resolve?fileuri={ENCODED}") == f"/tasks/7/resolve/?fileuri={ENCODED}"
    assert own.path("/storage-data/uploaded?filepath=upload/a.png") == "/storage-data/uploaded/?filepath=upload/a.png"


def test_local_files_are_known_by_their_path_alone():
    own = OwnAddresses("http://ls:8080/label")
    for start in ("https://labels.example.com", "https://labels.example.com/x/y", "http://ls:8080"):
        assert own.path(f"{start}/data/local-files/?d=a/b.png") == "/data/local-files/?d=a/b.png"
    assert own.path("https://cdn.example.com/data/local-files/?e=a") is None


def test_what_seems_to_be_label_studios_says_under_which_name():
    for file in UNMISTAKABLE:
        assert (
            seeming_name(f"https://me:pass@Labels.example.com:8443/a/b{file}") == "https://labels.example.com:8443/a/b"
        )
    for other in ("https://cdn.example.com/data/cat.png", "https://cdn.example.com/tasks/7/", "http://[/", "cat.png"):
        assert seeming_name(other) == ""


def test_the_cloud_address_inside():
    assert cloud_address(f"/tasks/7/resolve/?fileuri={ENCODED}") == "s3://bucket/cat ä.png"
    assert cloud_address("/tasks/7/presign/?fileuri=gs%3A%2F%2Fbucket%2Fcat.png") == "gs://bucket/cat.png"
    for other in (
        "/tasks/7/resolve/?fileuri=%FF",
        "/tasks/7/resolve/",
        "/data/upload/1/cat.png?fileuri=",
        "/?fileuri=aHR0cDovLw",
    ):
        assert cloud_address(other) == ""


@given(st.text(alphabet=string.printable + "ä‥\ud800", max_size=80))
def test_no_text_is_a_path_that_leaves_the_files(text):
    own = OwnAddresses("http://ls:8080", "https://alias/label")
    for start in ("", "/", "/data/", "/label/data/", "http://ls:8080/data/", "https://alias/label/tasks/7/resolve/"):
        path = own.path(start + text)
        assert path is None or path.startswith(
            ("/data/", "/static/", "/storage-data/", "/tasks/", "/projects/", "/api/")
        )
        assert path is None or "/../" not in path.partition("?")[0]


def test_names():
    assert server_name("https://Labels.example.com:443/a//b/") == server_name("labels.example.com/a/b")
    assert server_name("/label") is server_name("") is server_name("ftp://x") is server_name("http://[") is None
