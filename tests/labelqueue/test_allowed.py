"""What a setting may be: every parser returns a value or says what is allowed."""

import socket

import pytest

from labelqueue import allowed
from labelqueue.exceptions import SettingError
from labelqueue.settings import SETTINGS


@pytest.mark.parametrize(
    ("parse", "raw", "value"),
    [
        (allowed.choice("a", "b"), "b", "b"),
        (allowed.number(int, 1, 9), "4", 4),
        (allowed.number(float, 0, 1, low_open=True), 1, 1.0),
        (allowed.optional(allowed.number(int, 1, 9)), "auto", None),
        (allowed.seed, "-7", -7),
        (allowed.strategy("bal"), "bal", "bal"),
        (allowed.prelabel, True, "on"),
        (allowed.prelabel, "0.8", 0.8),
        (allowed.text, "", ""),
        (allowed.model, " vit_small_patch16_224.dino", "vit_small_patch16_224.dino"),
        (allowed.embedder, "bundled", "bundled"),
        (allowed.embedder, "imported clip-2.1", "imported clip-2.1"),
        (allowed.embedder, "", ""),
        (allowed.label_map, {"car": "vehicle"}, {"car": "vehicle"}),
        (allowed.label_map, '{"car": "vehicle"}', {"car": "vehicle"}),
        (allowed.label_map, "", {}),
        (allowed.origin, "https://example.org/studio/ ", "https://example.org/studio"),
        (allowed.redis_url, "rediss://h/0", "rediss://h/0"),
        (allowed.hosts, " A.example , b ,", ("a.example", "b")),
        (allowed.hosts, "http://Minio:9000/,https://files,10.0.0.7", ("minio:9000", "files", "10.0.0.7")),
        (allowed.hosts, "[::1]:9000,fd00::7,my_minio:9000", ("::1:9000", "fd00::7", "my_minio:9000")),
        (allowed.server_names, "https://a/label/, b:8080 ,my_host", ("https://a/label", "b:8080", "my_host")),
        (allowed.server_names, "", ()),
        (allowed.public_name, "http://localhost:8080/label/", "http://localhost:8080/label"),
        (allowed.public_name, "/label", "/label"),
        (allowed.public_name, "", ""),
    ],
)
def test_what_is_allowed_becomes_a_value(parse, raw, value):
    assert parse(raw) == value


@pytest.mark.parametrize(
    ("parse", "raw", "words"),
    [
        (allowed.choice("a", "b"), "c", "allowed are a, b"),
        (allowed.number(int, 1, 9), 2.5, "a whole number from 1 to 9"),
        (allowed.number(float, 0, 1, low_open=True), 0, "a number above 0 to 1"),
        (allowed.number(int, 1, 9), True, "a whole number"),
        (allowed.seed, 1.5, "a whole number"),
        (allowed.strategy("bal"), "best", "allowed are bal"),
        (allowed.prelabel, 2, "a probability"),
        (allowed.text, 7, "expected text"),
        (allowed.model, "", "such as vit_small_patch14_reg4_dinov2"),
        (allowed.model, "imported own", "such as vit_small_patch14_reg4_dinov2"),
        (allowed.model, "hf-hub:someone/something", "such as vit_small_patch14_reg4_dinov2"),
        (allowed.embedder, "imported", "`imported NAME` for what"),
        (allowed.embedder, "imported a b", "`imported NAME` for what"),
        (allowed.label_map, ["car"], "an object of texts"),
        (allowed.label_map, {"car": 1}, "an object of texts"),
        (allowed.label_map, "{car", "an object of texts"),
        (allowed.origin, "localhost:8080", "a URL such as"),
        (allowed.origin, "http://label_studio:8080", "cannot hold an underscore"),
        (allowed.origin, "http://me:pass@label-studio", "leave them out"),
        (allowed.hosts, "*.example", "such as minio:9000"),
        (allowed.hosts, "10.0.0.0/8", "not '10.0.0.0/8'"),
        (allowed.hosts, "minio 9000", "such as minio:9000"),
        (allowed.hosts, "minio:port", "such as minio:9000"),
        (allowed.server_names, "https://a, ftp://b", "not 'ftp://b'"),
        (allowed.server_names, "https://a?b", "URLs between commas"),
        (allowed.server_names, "https://me:pass@a", "URLs between commas"),
        (allowed.public_name, "https://a,https://b", "LABEL_STUDIO_ALIASES"),
        (allowed.public_name, "ftp://a", "one URL"),
        (allowed.redis_url, "http://h", "redis://"),
    ],
)
def test_what_is_not_allowed_is_said(parse, raw, words):
    with pytest.raises(ValueError, match=words):
        parse(raw)


@pytest.mark.parametrize(
    ("parse", "form", "told"),
    [
        (allowed.choice("a", "b"), "choice", ""),
        (allowed.strategy("bal"), "choice", ""),
        (allowed.number(int, 1, 10**7), "number", "a whole number from 1 to 10,000,000"),
        (allowed.number(float, 0, 0.5, low_open=True), "number", "a number above 0 to 0.5"),
        (allowed.optional(allowed.number(int, 1, 9)), "number", "a whole number from 1 to 9, or nothing: auto"),
        (allowed.optional(allowed.path), "text", ""),
        (allowed.seed, "number", "a whole number"),
        (allowed.label_map, "object", "an object of texts, as JSON"),
        (allowed.prelabel, "text", ""),
    ],
)  # fmt: skip
def test_forms_are_told_what_is_allowed(parse, form, told):
    assert (parse.form, str(parse)) == (form, told)


def test_the_words_of_each_setting_are_allowed_and_its_bounds_hold():
    for setting in SETTINGS:
        takes = setting.allowed
        assert all(setting.value(word) == word for word in takes.words()), setting.name
        if takes.low is not None:
            assert setting.value(takes.high) == takes.high
            for beyond in (takes.high + 1, takes.low - 1, *([takes.low] if takes.low_open else [])):
                with pytest.raises(SettingError, match=setting.name) as caught:
                    setting.value(beyond)
                assert caught.value.name == setting.name


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://localhost:9090"),
        ("::1", "http://localhost:9090"),
        ("queue.test", "http://queue.test:9090"),
        ("10.0.0.4", "http://10.0.0.4:9090"),
        ("fd00::4", "http://[fd00::4]:9090"),
        ("0.0.0.0", f"http://{socket.gethostname()}:9090"),
    ],
)
def test_where_browsers_reach_a_process_that_nobody_named(host, address):
    assert allowed.reached_at(host, 9090) == address
