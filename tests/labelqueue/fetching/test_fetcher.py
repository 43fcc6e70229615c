"""The fetcher against real servers on loopback: one plays Label Studio, one plays the rest of the web."""

import base64
import http.server
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from urllib.parse import parse_qs, urlsplit

import pytest
from urllib3.connection import HTTPConnection

from authority import Authority
from labelqueue.exceptions import CredentialError, ImageError, LabelStudioError, TransientImageError
from labelqueue.fetching.download import is_public
from labelqueue.fetching.fetcher import ImageFetcher
from labelqueue.labelstudio.client import LabelStudio

KEY = "0123456789abcdef0123456789abcdef01234567"
PIXELS = b"\x89PNG pretend" * 50


class Site:
    """A server whose paths are functions of the request handler; it remembers every request's headers."""

    def __init__(self, certificate=None):
        self.routes, self.seen = {}, []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                site.seen.append((self.path, dict(self.headers)))
                route = site.routes.get(self.path.partition("?")[0])
                if route is None:
                    site.answer(self, b"nothing here", status=404)
                else:
                    route(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # clients that hang up are what we test
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @staticmethod
    def answer(handler, body, status=200, **headers):
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Connection": "close", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def serve(self, path, body=PIXELS, status=200, **headers):
        self.routes[path] = lambda handler: self.answer(handler, body, status, **headers)

    def redirect(self, path, target, status=302):
        self.serve(path, b"", status, Location=target)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def running(*arguments):
    site = Site(*arguments)
    try:
        yield site
    finally:
        site.close()


@pytest.fixture
def studio():
    with running() as site:
        yield site


@pytest.fixture
def web():
    with running() as site:
        yield site


def fetcher(studio, **options):
    options.setdefault("timeout", 2.0)
    return ImageFetcher(LabelStudio(studio.url, KEY), **options)


def keys_seen(site):
    return [headers["Authorization"] for _, headers in site.seen if "Authorization" in headers]


# -- Label Studio's own files


@pytest.mark.parametrize("path", ["/data/upload/1/cat.png", "/data/local-files/", "/static/samples/sample.jpg"])
def test_files_of_label_studio_are_read_with_the_key(studio, path):
    studio.serve(path)
    uri = path + ("?d=photos/cat.png" if path.endswith("/") else "")
    assert fetcher(studio).read(uri, 7) == PIXELS
    assert fetcher(studio).read(studio.url + uri, 7) == PIXELS
    assert keys_seen(studio) == [f"Token {KEY}"] * 2
    assert studio.seen[0][0] == uri


def test_local_files_synced_under_the_public_host_name_are_asked_from_our_origin(studio):
    studio.serve("/data/local-files/")
    assert fetcher(studio).read("https://labels.example.com/data/local-files/?d=a.png", 7) == PIXELS


RESOLVE = "/tasks/7/resolve/?fileuri=" + base64.urlsafe_b64encode(b"s3://bucket/cat.png").decode()
STORED = "/storage-data/uploaded/?filepath=upload/1/cat.png"


@pytest.mark.parametrize("path", ["/data/upload/1/cat.png", RESOLVE, RESOLVE.replace("resolve", "presign"), STORED])
def test_every_name_of_label_studio_is_asked_from_our_origin(studio, web, path):
    studio.serve(path.partition("?")[0])
    named = fetcher(studio, names=["https://labels.example.com/label", web.url])
    for start in (
        "https://labels.example.com/label",
        "http://LABELS.example.com/label/",
        web.url,
        studio.url,
        "/label",
    ):
        assert named.read(start + path, 7) == PIXELS
    said = fetcher(studio, learn=lambda: "https://said.example/x")
    assert said.read(f"https://said.example/x{path}", 7) == PIXELS
    assert keys_seen(studio) == [f"Token {KEY}"] * 6 and {asked for asked, _ in studio.seen} == {path}
    assert web.seen == []  # an alias is never asked itself, whoever it is


def test_a_name_that_is_not_known_says_the_way_out_and_gets_no_key(studio, web):
    studio.serve("/tasks/7/resolve/")
    name = web.url.replace("127.0.0.1", "localhost")
    for start in (name, f"{name}/label", "http://labels.invalid"):
        for path in (RESOLVE, STORED, "/data/upload/1/cat.png"):
            with pytest.raises(ImageError, match=f"if {start} is the one of .* add that name to LABEL_STUDIO_ALIASES"):
                fetcher(studio).read(start + path, 7)
    with pytest.raises(ImageError, match=r"404; it looks like .*LABEL_STUDIO_ALIASES"):
        fetcher(studio, allow_hosts=["127.0.0.1"]).read(web.url + RESOLVE, 7)
    web.redirect("/data/upload/1/cat.png", "/user/login/")
    web.serve("/user/login/", b"\n<!DOCTYPE html><html>sign in</html>")
    with pytest.raises(ImageError, match=r"gives a page instead of an image; it looks like .*LABEL_STUDIO_ALIASES"):
        fetcher(studio, allow_hosts=["127.0.0.1"]).read(f"{web.url}/data/upload/1/cat.png", 7)
    assert keys_seen(web) == [] and studio.seen == []
    with pytest.raises(ImageError) as caught:
        fetcher(studio).read("http://labels.invalid/photos/cat.png", 7)
    assert "ALIASES" not in str(caught.value)


def test_a_way_out_leaves_what_is_for_now_for_now(studio):
    with pytest.raises(TransientImageError, match=r"Connection refused; it looks like .*LABEL_STUDIO_ALIASES"):
        fetcher(studio, allow_hosts=["127.0.0.1"]).read(f"http://127.0.0.1:9{RESOLVE}", 7)


def test_a_storage_that_label_studio_cannot_read_is_asked_again_later(studio):
    studio.serve("/tasks/7/resolve/", b'{"error": "Storage stream failed", "detail": "Could not connect"}', 424)
    with pytest.raises(TransientImageError, match=r"424.*Could not connect"):
        fetcher(studio).read(RESOLVE, 7)
    studio.serve("/tasks/7/resolve/", b"", 403)
    with pytest.raises(ImageError, match="403") as caught:
        fetcher(studio).read(RESOLVE, 7)
    assert "connect the" not in str(caught.value)


def test_files_that_wait_for_an_nginx_say_so(studio):
    studio.serve("/storage-data/uploaded/", b"", **{"X-Accel-Redirect": "/file_download/s3/s3cret"})
    with pytest.raises(ImageError, match=r"nginx.*LABEL_STUDIO_URL.*USE_NGINX_FOR_UPLOADS=false") as caught:
        fetcher(studio).read(STORED, 7)
    assert "s3cret" not in str(caught.value)


def test_a_path_prefix_is_not_doubled(studio):
    studio.serve("/label/data/upload/1/cat.png")
    prefixed = ImageFetcher(LabelStudio(f"{studio.url}/label", KEY))
    for uri in ("/label/data/upload/1/cat.png", "/data/upload/1/cat.png", f"{studio.url}/label/data/upload/1/cat.png"):
        assert prefixed.read(uri, 7) == PIXELS


@pytest.mark.parametrize(
    "uri",
    [
        "/api/current-user/token",
        "/data/../api/current-user/token",
        "/data/%2e%2e/api/current-user/token",
        "/data/..\\api\\current-user\\token",
        "/user/account",
        "//evil.example/data/upload/x.png",
        "data/upload/x.png",
        "",
        "cat.png",
    ],
)
def test_the_key_opens_nothing_but_files(studio, uri):
    with pytest.raises(ImageError):
        fetcher(studio).read(uri, 7)
    assert studio.seen == []


def test_an_absolute_address_on_label_studio_that_is_no_file_goes_without_the_key(studio):
    studio.serve("/api/current-user/token", b"secret")
    fetcher(studio).read(f"{studio.url}/api/current-user/token", 7)
    assert len(studio.seen) == 1 and keys_seen(studio) == []


def test_cloud_storage_goes_through_a_signed_address_without_the_key(studio, web):
    web.serve("/bucket/cat.png")
    studio.redirect("/tasks/7/presign/", f"{web.url}/bucket/cat.png?signature=s3cret")
    assert fetcher(studio, allow_hosts=["127.0.0.1"]).read("s3://bucket/cät.png", 7) == PIXELS
    asked = parse_qs(urlsplit(studio.seen[0][0]).query)["fileuri"][0]
    assert base64.urlsafe_b64decode(asked).decode() == "s3://bucket/cät.png"
    assert keys_seen(studio) == [f"Token {KEY}"]
    assert web.seen[0][0] == "/bucket/cat.png?signature=s3cret"
    assert keys_seen(web) == [] and "Cookie" not in web.seen[0][1]


def test_a_redirect_of_label_studio_falls_under_the_rules_for_foreign_hosts(studio, web):
    studio.redirect("/data/upload/1/cat.png", f"{web.url.replace('127.0.0.1', 'localhost')}/cat.png")
    with pytest.raises(ImageError, match=r"private address .*LABELQUEUE_ALLOW_HOSTS"):
        fetcher(studio).read("/data/upload/1/cat.png", 7)
    assert web.seen == []


def test_a_redirect_to_the_login_page_goes_without_the_key(studio):
    studio.redirect("/data/upload/1/cat.png", "/user/login/")
    studio.serve("/user/login/", b"<html>sign in</html>")
    assert fetcher(studio).read("/data/upload/1/cat.png", 7) == b"<html>sign in</html>"
    assert len(keys_seen(studio)) == 1


def test_faults_of_label_studio(studio):
    with pytest.raises(ImageError, match="404") as caught:
        fetcher(studio).read("/data/upload/1/gone.png", 7)
    assert not isinstance(caught.value, TransientImageError)
    studio.serve("/data/upload/1/forbidden.png", b"no", 403)
    with pytest.raises(ImageError, match="403"):
        fetcher(studio).read("/data/upload/1/forbidden.png", 7)
    studio.serve("/tasks/7/presign/", b"storage is down", 500)
    with pytest.raises(TransientImageError, match="500"):
        fetcher(studio).read("gs://bucket/a.png", 7)
    studio.serve("/data/upload/1/key.png", b"no", 401)
    with pytest.raises(CredentialError):
        fetcher(studio).read("/data/upload/1/key.png", 7)


@pytest.mark.parametrize("uri", ["gs://bucket/a.png", "s3://bucket/a.png", "azure-blob://box/a.png"])
def test_a_cloud_address_without_its_storage_says_the_way_out(studio, uri):
    scheme = uri.split(":")[0]
    with pytest.raises(ImageError, match=rf"{uri}: .*404.*connect the {scheme} storage .*Cloud Storage") as caught:
        fetcher(studio).read(uri, 7)
    assert not isinstance(caught.value, TransientImageError)
    resolve = f"/tasks/7/resolve/?fileuri={base64.urlsafe_b64encode(uri.encode()).decode()}"
    with pytest.raises(ImageError, match=rf"{uri}: .*404.*connect the {scheme} storage .*Cloud Storage"):
        fetcher(studio).read(resolve, 7)


def test_no_label_studio_is_not_the_images_fault():
    class Dead:
        origin = "http://127.0.0.1:9"

        def get_file(self, path, timeout=20.0):
            raise LabelStudioError("does not answer")

    with pytest.raises(LabelStudioError):
        ImageFetcher(Dead()).read("/data/upload/1/cat.png", 7)


def test_a_file_that_hangs_in_label_studio_is_that_images_fault(studio):
    done = threading.Event()
    studio.routes["/data/upload/1/slow.png"] = lambda handler: done.wait(60)
    started = time.monotonic()
    with pytest.raises(TransientImageError, match=r"slow\.png took too long"):
        fetcher(studio, deadline=0.3).read("/data/upload/1/slow.png", 7)
    assert time.monotonic() - started < 20
    done.set()
    assert len(studio.seen) == 1  # no second try either: the shard's other images wait


# -- the rest of the web


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "0.0.0.0"])
def test_private_hosts_are_refused_before_a_connection(studio, web, host):
    web.serve("/cat.png")
    with pytest.raises(ImageError, match=r"private address|no host") as caught:
        fetcher(studio).read(f"http://{host}:{web.port}/cat.png", 7)
    assert not isinstance(caught.value, TransientImageError)
    assert web.seen == []


def test_allowed_hosts_may_be_private(studio, web):
    web.serve("/cat.png")
    for allowed in ("127.0.0.1", f"127.0.0.1:{web.port}"):
        assert fetcher(studio, allow_hosts=[allowed]).read(f"{web.url}/cat.png", 7) == PIXELS
    with pytest.raises(ImageError, match="private"):
        fetcher(studio, allow_hosts=["127.0.0.1:1"]).read(f"{web.url}/cat.png", 7)
    assert keys_seen(web) == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True), ("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False),
        ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False),
        ("224.0.0.1", False), ("240.0.0.1", False), ("255.255.255.255", False), ("198.18.0.1", False),
        ("::1", False), ("::", False), ("fe80::1%eth0", False), ("fc00::1", False), ("fec0::1", False),
        ("ff02::1", False), ("::ffff:127.0.0.1", False), ("::ffff:169.254.169.254", False),
        ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False), ("2001:db8::1", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address, public):
    assert is_public(address) is public


@pytest.fixture
def names(monkeypatch):
    """Look-ups answered from a dictionary; the list of names that were looked up."""
    table, asked, real = {}, [], socket.getaddrinfo

    def lookup(host, port, *rest, **options):
        if host not in table:
            return real(host, port, *rest, **options)
        asked.append(host)
        answers = table[host]
        current = answers.pop(0) if isinstance(answers[0], list) else answers
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in current]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return table, asked


def test_a_name_is_resolved_once_and_the_checked_address_is_connected_to(studio, names, monkeypatch):
    table, asked = names
    table["rebind.example"] = [["93.184.216.34"], ["127.0.0.1"]]  # public when checked, private when asked again
    tried = []

    def connect(address, *_, **__):
        tried.append(address[0])
        raise OSError("not in a test")

    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    with pytest.raises(TransientImageError, match="does not answer"):
        fetcher(studio).read("http://rebind.example/cat.png", 7)
    assert asked == ["rebind.example"] and tried == ["93.184.216.34"]


def test_one_private_address_among_public_ones_is_refused(studio, names):
    names[0]["mixed.example"] = ["93.184.216.34", "10.0.0.1"]
    with pytest.raises(ImageError, match=r"private address 10\.0\.0\.1"):
        fetcher(studio).read("http://mixed.example/cat.png", 7)


def test_the_next_address_is_tried_when_one_is_dead(studio, web, names):
    names[0]["two.example"] = ["127.0.0.2", "127.0.0.1"]
    web.serve("/cat.png")
    assert fetcher(studio, allow_hosts=["two.example"]).read(f"http://two.example:{web.port}/cat.png", 7) == PIXELS
    assert web.seen[-1][1]["Host"] == f"two.example:{web.port}"


def test_redirects_are_followed_and_each_is_checked(studio, web, names):
    web.serve("/cat.png")
    web.redirect("/1", "/2")
    web.redirect("/2", f"{web.url}/cat.png", 307)
    assert fetcher(studio, allow_hosts=["127.0.0.1"]).read(f"{web.url}/1", 7) == PIXELS
    names[0]["public.example"] = ["127.0.0.1"]
    for target in (
        f"http://localhost:{web.port}/cat.png",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
    ):
        web.redirect("/trap", target)
        web.seen.clear()
        with pytest.raises(ImageError, match=r"private address|scheme 'file'"):
            fetcher(studio, allow_hosts=["public.example"]).read(f"http://public.example:{web.port}/trap", 7)
        assert [path for path, _ in web.seen] == ["/trap"]


@pytest.mark.parametrize("target", ["http://[x", "//[x"])
def test_a_redirect_to_nonsense_is_that_images_fault(studio, web, target):
    web.redirect("/cat.png", target)
    studio.redirect("/data/upload/1/cat.png", target)
    for uri in (f"{web.url}/cat.png", "/data/upload/1/cat.png"):
        with pytest.raises(ImageError, match=r"redirects to (.*not an address|nonsense)"):
            fetcher(studio, allow_hosts=["127.0.0.1"]).read(uri, 7)


def test_redirects_end(studio, web):
    web.redirect("/again", "/again")
    with pytest.raises(ImageError, match="more than 5 redirects"):
        fetcher(studio, allow_hosts=["127.0.0.1"]).read(f"{web.url}/again", 7)
    assert len(web.seen) == 6


def test_proxies_of_the_environment_are_not_used(studio, web, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    web.serve("/cat.png")
    assert fetcher(studio, allow_hosts=["127.0.0.1"]).read(f"{web.url}/cat.png", 7) == PIXELS


@pytest.mark.parametrize(
    "uri", ["ftp://host/cat.png", "file:///etc/passwd", "javascript://x", "http://", "http:///cat.png", "http://[::1/x"]
)
def test_other_schemes_and_broken_addresses_are_refused(studio, uri):
    with pytest.raises(ImageError):
        fetcher(studio).read(uri, 7)


@pytest.mark.parametrize("start", ["s3://bucket/", "/data/upload/1/", "http://93.184.216.34/", "", "data:,"])
def test_half_a_surrogate_pair_is_that_images_fault(studio, start):
    with pytest.raises(ImageError):
        fetcher(studio).read(f"{start}cat\ud800.png", 7)


@pytest.mark.parametrize("length", [b"\xb2", b"-1", b"x", b"9" * 5000])
def test_a_length_that_is_no_number_is_not_believed(studio, web, length):
    def odd(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + length + b"\r\n\r\n" + PIXELS)
        handler.close_connection = True

    web.routes["/cat.png"] = odd
    with suppress(ImageError):  # refusing it is fine too, anything else is not
        assert fetcher(studio, allow_hosts=["127.0.0.1"]).read(f"{web.url}/cat.png", 7) == PIXELS


def test_messages_hold_no_secrets(studio, web):
    for uri in (f"{web.url}/gone.png?sig=s3cret", f"http://user:s3cret@127.0.0.1:{web.port}/gone.png"):
        with pytest.raises(ImageError) as caught:
            fetcher(studio, allow_hosts=["127.0.0.1"]).read(uri, 7)
        assert "s3cret" not in str(caught.value) and "gone.png" in str(caught.value)


@pytest.mark.parametrize(("status", "transient"), [(404, False), (403, False), (410, False), (429, True), (503, True)])
def test_which_answers_are_for_now_and_which_for_good(studio, web, status, transient):
    web.serve("/cat.png", b"", status)
    with pytest.raises(ImageError, match=str(status)) as caught:
        fetcher(studio, allow_hosts=["127.0.0.1"]).read(f"{web.url}/cat.png", 7)
    assert isinstance(caught.value, TransientImageError) is transient


def test_a_closed_port_and_an_unknown_host(studio, monkeypatch):
    with pytest.raises(TransientImageError, match="does not answer"):
        fetcher(studio, allow_hosts=["127.0.0.1"]).read("http://127.0.0.1:9/cat.png", 7)

    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ImageError, match="there is no host") as caught:
        fetcher(studio).read("http://nowhere.example/cat.png", 7)
    assert not isinstance(caught.value, TransientImageError)


def test_too_many_bytes_are_refused(studio, web):
    web.serve("/told.png", b"x" * 5_000)
    with pytest.raises(ImageError, match="has 5,000 bytes, at most 4,000"):
        fetcher(studio, allow_hosts=["127.0.0.1"], max_bytes=4_000).read(f"{web.url}/told.png", 7)

    def endless(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while True:
            handler.wfile.write(b"400\r\n" + b"x" * 1024 + b"\r\n")

    web.routes["/endless.png"] = studio.routes["/data/upload/endless.png"] = endless
    with pytest.raises(ImageError, match="more than 4,000 bytes"):
        fetcher(studio, allow_hosts=["127.0.0.1"], max_bytes=4_000).read(f"{web.url}/endless.png", 7)
    with pytest.raises(ImageError, match="more than 4,000 bytes"):
        fetcher(studio, max_bytes=4_000).read("/data/upload/endless.png", 7)


def test_a_chunked_answer_is_read_whole(studio, web):
    def chunked(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(PIXELS), 100):
            piece = PIXELS[start : start + 100]
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")

    web.routes["/cat.png"] = studio.routes["/data/upload/cat.png"] = chunked
    assert fetcher(studio, allow_hosts=["127.0.0.1"]).read(f"{web.url}/cat.png", 7) == PIXELS
    assert fetcher(studio).read("/data/upload/cat.png", 7) == PIXELS


def test_a_transfer_that_breaks_off_is_for_now(studio, web):
    def broken(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"x" * 300)
        handler.close_connection = True

    web.routes["/cat.png"] = studio.routes["/data/upload/cat.png"] = broken
    with pytest.raises(TransientImageError, match="broke off"):
        fetcher(studio, allow_hosts=["127.0.0.1"]).read(f"{web.url}/cat.png", 7)
    with pytest.raises(TransientImageError, match="broke off"):
        fetcher(studio).read("/data/upload/cat.png", 7)


def drip(head):
    def route(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" if head else b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        for _ in range(600):
            handler.wfile.write(b"X-A: b\r\n" if head else b"x")
            handler.wfile.flush()
            time.sleep(0.1)

    return route


@pytest.mark.parametrize("head", [True, False], ids=["headers", "body"])
def test_a_server_that_drips_is_cut_off_at_the_deadline(studio, web, head):
    web.routes["/cat.png"] = drip(head)
    started = time.monotonic()
    with pytest.raises(TransientImageError, match="took too long"):
        fetcher(studio, allow_hosts=["127.0.0.1"], deadline=0.5).read(f"{web.url}/cat.png", 7)
    assert time.monotonic() - started < 20


def test_a_slow_look_up_counts(studio, web, monkeypatch):
    def slow(*_, **__):
        time.sleep(0.4)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", web.port))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(TransientImageError, match="took too long"):
        fetcher(studio, allow_hosts=["slow.example"], deadline=0.2).read("http://slow.example/cat.png", 7)
    assert web.seen == []


def test_a_line_that_is_ready_after_the_deadline_is_not_used(studio, web, monkeypatch):
    web.serve("/cat.png")
    connect = HTTPConnection.connect
    monkeypatch.setattr(HTTPConnection, "connect", lambda self: (time.sleep(0.4), connect(self)))
    with pytest.raises(TransientImageError, match="took too long"):
        fetcher(studio, allow_hosts=["127.0.0.1"], deadline=0.2).read(f"{web.url}/cat.png", 7)
    assert web.seen == []


def test_the_watchdog_bites_again(studio, web, monkeypatch):
    # The first bite comes to nothing, as it does while a line is being built.
    web.routes["/cat.png"] = drip(True)
    bites, shutdown = [], socket.socket.shutdown

    def bite(line, how):
        if threading.current_thread().name != "labelqueue-watchdog":
            return shutdown(line, how)
        bites.append(how)
        return shutdown(line, how) if len(bites) > 1 else None

    monkeypatch.setattr(socket.socket, "shutdown", bite)
    started = time.monotonic()
    with pytest.raises(TransientImageError, match="took too long"):
        fetcher(studio, allow_hosts=["127.0.0.1"], deadline=0.3).read(f"{web.url}/cat.png", 7)
    assert time.monotonic() - started < 20 and len(bites) == 2


def test_a_dripping_label_studio_is_cut_off_too(studio):
    studio.routes["/data/upload/cat.png"] = drip(False)
    started = time.monotonic()
    with pytest.raises(TransientImageError, match="took too long"):
        fetcher(studio, deadline=0.5).read("/data/upload/cat.png", 7)
    assert time.monotonic() - started < 20


def test_a_silent_server_is_given_up_on(studio):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/cat.png"
        started = time.monotonic()
        with pytest.raises(TransientImageError):
            fetcher(studio, allow_hosts=["127.0.0.1"], timeout=0.3).read(address, 7)
        assert time.monotonic() - started < 20


def test_tls_checks_the_name_although_an_address_is_connected_to(studio, names, tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    names[0].update({"images.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
    with running(authority.sign("images.example")) as secure:
        secure.serve("/cat.png")
        allowed = fetcher(studio, allow_hosts=["images.example", "other.example"])
        with pytest.raises(ImageError, match="certificate"):  # nobody vouches for it
            allowed.read(f"https://images.example:{secure.port}/cat.png", 7)
        monkeypatch.setenv("LABELQUEUE_CA_BUNDLE", str(authority.file))
        assert allowed.read(f"https://images.example:{secure.port}/cat.png", 7) == PIXELS
        with pytest.raises(ImageError, match="certificate"):
            allowed.read(f"https://other.example:{secure.port}/cat.png", 7)
        assert len(secure.seen) == 1


# -- the task itself


def test_data_addresses(studio):
    encoded = base64.b64encode(PIXELS).decode()
    for uri in (
        f"data:image/png;base64,{encoded}",
        f"DATA:image/png;name=a;BASE64,{encoded[:40]}\n{encoded[40:]}",
        "data:image/png," + "".join(f"%{byte:02x}" for byte in PIXELS),
    ):
        assert fetcher(studio).read(uri, 7) == PIXELS
    for bad in ("data:image/png;base64", "data:image/png;base64,%%%", "data:image/png;base64,abc"):
        with pytest.raises(ImageError, match="data:"):
            fetcher(studio).read(bad, 7)
    with pytest.raises(ImageError, match="larger than 100 bytes"):
        fetcher(studio, max_bytes=100).read(f"data:image/png;base64,{encoded}", 7)
