"""What errors tell: the innermost reason of a real failure, and addresses without what may be secret."""

import http.client
import socket

import pytest
import requests

from labelqueue.transport import name_url, reason


def failure(url, **options):
    with pytest.raises(requests.RequestException) as caught, requests.Session() as session:
        session.trust_env = False
        session.get(url, **{"timeout": 0.1, **options})
    return caught.value


def test_real_failures_are_told_in_a_few_words():
    assert reason(failure("http://127.0.0.1:9/x?token=s3cret")) == "Connection refused"
    assert "known" in reason(failure("http://no-such-host.invalid/", timeout=5)) or reason(
        failure("http://no-such-host.invalid/", timeout=5)
    ).startswith("Temporary failure")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert reason(failure(f"http://127.0.0.1:{silent.getsockname()[1]}/")) == "timed out"


def test_no_repr_of_an_object_is_told():
    inside = OSError("<urllib3.connection.HTTPConnection object at 0x7f>: it is odd")
    assert reason(requests.ConnectionError(inside)) == "it is odd"
    assert reason(http.client.RemoteDisconnected("Remote end closed connection without response")).startswith("Remote")
    assert reason(ValueError()) == "ValueError"
    assert len(reason(ValueError("x" * 9_000))) == 200
    looped = ValueError("round")
    looped.__cause__ = ValueError("and round")
    looped.__cause__.__cause__ = looped
    assert reason(looped) == "and round"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://me:pass@host:9/a.png?X-Amz-Signature=1#part", "https://host:9/a.png"),
        ("/data/upload/1/cat.png?token=1", "/data/upload/1/cat.png"),
        ("s3://bucket/cat.png", "s3://bucket/cat.png"),
        ("nowhere", "nowhere"),
    ],
)
def test_addresses_are_told_without_secrets(url, told):
    assert name_url(url) == told
