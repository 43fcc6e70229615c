"""Whose certificates are trusted: three variables, for Label Studio and for images alike, against real TLS servers."""

import os
import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import certifi
import pytest

from authority import Authority
from labelqueue.exceptions import ImageError, LabelStudioError, SettingError
from labelqueue.fetching.fetcher import ImageFetcher
from labelqueue.labelstudio.client import LabelStudio
from labelqueue.settings import Deployment
from labelqueue.transport import authorities
from labelqueue.transport.certificates import VARIABLES
from labelqueue.worker.runtime import Runtime

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@contextmanager
def serving(certificate, key):
    """A TLS server that plays Label Studio and the rest of the web: every answer is an empty object."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            """Stay quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):
            """Clients that hang up are what is tested."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def secure(authority):
    with serving(*authority.sign("127.0.0.1")) as url:
        yield url


class NoLabelStudio:
    origin = "http://127.0.0.1:9"


def read_image(url):
    return ImageFetcher(NoLabelStudio(), allow_hosts=["127.0.0.1", "localhost"]).read(f"{url}/cat.png", 7)


def ask(url):
    return LabelStudio(url, KEY).whoami()


@pytest.mark.parametrize("name", VARIABLES)
def test_each_variable_holds_for_label_studio_and_for_images(name, secure, authority, monkeypatch):
    monkeypatch.setenv(name, str(authority.file))
    assert read_image(secure) == b"{}"
    assert ask(secure) == {}
    assert LabelStudio(secure, KEY).get_file("/data/upload/1/cat.png").content == b"{}"


def test_the_first_variable_that_is_set_counts(secure, authority, stranger, monkeypatch):
    assert authorities() == certifi.where()
    for name in reversed(VARIABLES):  # each takes precedence over those before, and an empty one over none
        monkeypatch.setenv(name, str(stranger.file))
        with pytest.raises(ImageError, match=f"add the certificate of its authority to {stranger.file}, which {name}"):
            read_image(secure)
        monkeypatch.setenv(name, str(authority.file))
        assert read_image(secure) == b"{}"
    monkeypatch.setenv("LABELQUEUE_CA_BUNDLE", " ")
    assert authorities() == str(authority.file)
    assert authorities(stranger.file) == str(stranger.file)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl names the files of such a folder")
def test_a_folder_of_authorities(secure, authority, tmp_path, monkeypatch):
    hashed = ["openssl", "x509", "-hash", "-noout", "-in", authority.file]
    name = subprocess.run(hashed, capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / f"{name}.0").write_bytes(authority.file.read_bytes())
    monkeypatch.setenv("LABELQUEUE_CA_BUNDLE", str(tmp_path))
    assert read_image(secure) == b"{}" and ask(secure) == {}


def test_an_unknown_certificate_names_the_way_out(secure):
    way_out = r"certificate.*unable to get local issuer certificate.*set LABELQUEUE_CA_BUNDLE to a PEM file"
    with pytest.raises(ImageError, match=way_out) as image:
        read_image(secure)
    with pytest.raises(LabelStudioError, match=rf"{secure} is not trusted: .*{way_out}") as studio:
        ask(secure)
    for told in (str(image.value), str(studio.value)):
        assert "HTTPSConnectionPool" not in told and "_ssl.c" not in told


def test_a_wrong_name_and_an_old_certificate_have_ways_out_of_their_own(authority, monkeypatch):
    monkeypatch.setenv("LABELQUEUE_CA_BUNDLE", str(authority.file))
    with serving(*authority.sign("images.example")) as url:
        for attempt, error in ((read_image, ImageError), (ask, LabelStudioError)):
            with pytest.raises(error, match=r"not valid.*use the name that it is made out to"):
                attempt(url)
    with serving(*authority.sign("127.0.0.1", days=-1)) as url:
        for attempt, error in ((read_image, ImageError), (ask, LabelStudioError)):
            with pytest.raises(error, match=r"expired.*renew it"):
                attempt(url)


def test_a_server_without_tls_is_told_plainly():
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            """Stay quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as plain:
        thread = threading.Thread(target=plain.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with pytest.raises(
            LabelStudioError, match=r"does not answer at https://\S+: (wrong version|record layer)"
        ) as no:
            ask(f"https://127.0.0.1:{plain.server_port}")
        plain.shutdown()
        thread.join()
    assert "Pool" not in str(no.value)


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize(
    ("kind", "why"), [("missing", "No such file"), ("empty", "no certificate"), ("junk", "no certificate")]
)
def test_a_bundle_that_cannot_be_used_is_named_before_anything_is_asked(name, kind, why, tmp_path, monkeypatch):
    file = tmp_path / "bundle.pem"
    if kind != "missing":
        file.write_text("" if kind == "empty" else "no PEM")
    monkeypatch.setenv(name, str(file))
    message = rf"{name} names '{file}', which cannot be used: .*{why}.*give a PEM file"
    with pytest.raises(SettingError, match=message):
        LabelStudio("https://127.0.0.1:9", KEY)
    with pytest.raises(SettingError, match=message):
        read_image("https://127.0.0.1:9")
    LabelStudio("http://127.0.0.1:9", KEY)  # where no certificate is needed, none is missed


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_bundle_without_the_right_to_read_it(authority, tmp_path, monkeypatch):
    file = tmp_path / "bundle.pem"
    file.write_bytes(authority.file.read_bytes())
    file.chmod(0)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(SettingError, match=r"SSL_CERT_FILE names .*Permission denied"):
        authorities()


def test_a_bundle_is_read_anew_when_it_changes(secure, authority, stranger, tmp_path, monkeypatch):
    file = tmp_path / "bundle.pem"
    file.write_bytes(stranger.file.read_bytes())
    monkeypatch.setenv("LABELQUEUE_CA_BUNDLE", str(file))
    with pytest.raises(ImageError, match="certificate"):
        read_image(secure)
    file.write_bytes(stranger.file.read_bytes() + authority.file.read_bytes())
    assert read_image(secure) == b"{}"


def test_the_setting_reaches_both(secure, authority, tmp_path):
    assert Deployment.from_environment({"LABELQUEUE_CA_BUNDLE": ""}).ca_bundle is None
    settings = {"LABEL_STUDIO_URL": secure, "LABEL_STUDIO_API_KEY": KEY, "LABELQUEUE_ALLOW_HOSTS": "127.0.0.1"}
    settings |= {"LABELQUEUE_CA_BUNDLE": str(authority.file), "LABELQUEUE_HOME": str(tmp_path)}
    runtime = Runtime(Deployment.from_environment(settings))
    assert runtime.client.whoami() == {}
    assert runtime.fetcher.read(f"{secure}/cat.png", 7) == b"{}"
    assert runtime.fetcher.read(f"{secure}/data/upload/1/cat.png", 7) == b"{}"
