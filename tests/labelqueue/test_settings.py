"""The settings table is the validation: every row parses its default, and wrong values name key, value and way out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.exceptions import SettingError
from labelqueue.settings import DEPLOYMENT, PROJECT, SETTINGS, Deployment, parse_project_settings


def test_names_are_unique_and_defaults_are_valid():
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)
    for setting in SETTINGS:
        if setting.default is not None:
            assert setting.value(setting.default) is not None
        assert setting.help and setting.help[0].islower() and not setting.help.endswith(".")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"trials": 0}, ["trials", "0", "from 1 to 10000"]),
        ({"trials": 2.5}, ["trials", "2.5", "whole number"]),
        ({"trials": True}, ["trials", "True"]),
        ({"trials": "many"}, ["trials", "'many'"]),
        ({"strategy": "best"}, ["strategy", "'best'", "auto, freesel, maxherding", "bal, uherding"]),
        ({"cold_start": "bal"}, ["cold_start", "'bal'", "freesel, maxherding, probcover, clustering"]),
        ({"warm": "auto"}, ["warm", "'auto'", "bal, uherding"]),
        ({"prelabel": "maybe"}, ["prelabel", "'maybe'", "auto, on, off"]),
        ({"prelabel": 0}, ["prelabel", "above 0"]),
        ({"control_share": 0.6}, ["control_share", "0.6", "from 0 to 0.5"]),
        ({"attention_ratio": 0}, ["attention_ratio", "above 0"]),
        ({"seed": 1.5}, ["seed", "1.5"]),
        ({"color": 1}, ["unknown setting 'color'", "known are strategy"]),
    ],
)
def test_wrong_project_settings_name_key_value_and_way_out(raw, words):
    with pytest.raises(SettingError) as error:
        parse_project_settings(raw)
    assert all(word in str(error.value) for word in words)


@given(st.integers())
def test_any_whole_number_is_a_seed(seed):
    assert parse_project_settings({"seed": seed}) == {"seed": seed}
    assert parse_project_settings({"seed": str(seed)}) == {"seed": seed}


@pytest.mark.parametrize(("raw", "value"), [("off", "off"), (True, "on"), (False, "off"), ("0.9", 0.9), (1, 1.0)])
def test_pre_labels_are_a_word_or_a_probability(raw, value):
    assert parse_project_settings({"prelabel": raw}) == {"prelabel": value}


def test_auto_means_decided_at_run_time():
    assert parse_project_settings({"n_patterns": "auto"}) == {"n_patterns": None}


def test_deployment_reads_the_environment_only():
    deployment = Deployment.from_environment(
        {"LABEL_STUDIO_URL": "https://ls.example/studio/", "PORT": "8000", "LABELQUEUE_ALLOW_HOSTS": "Minio, files"}
    )
    assert deployment.label_studio_url == "https://ls.example/studio"
    assert deployment.port == 8000
    assert deployment.allow_hosts == ("minio", "files")
    assert (deployment.label_studio_host, deployment.label_studio_aliases) == ("", ())
    assert not set(DEPLOYMENT) & set(PROJECT)


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({"PORT": "70000"}, "PORT"),
        ({"LABEL_STUDIO_URL": "ftp://x"}, "LABEL_STUDIO_URL"),
        ({"LABEL_STUDIO_HOST": "ftp://x"}, "LABEL_STUDIO_HOST"),
        ({"LABEL_STUDIO_ALIASES": "https://a, ftp://x"}, "LABEL_STUDIO_ALIASES.*'ftp://x'"),
        ({"LABELQUEUE_ALLOW_HOSTS": "*.example"}, "LABELQUEUE_ALLOW_HOSTS"),
        ({"REDIS_URL": "localhost:6379"}, "REDIS_URL"),
        ({"BASIC_AUTH_USER": "me"}, "BASIC_AUTH_PASS"),
    ],
)
def test_wrong_environment_is_refused_by_name(environ, word):
    with pytest.raises(SettingError, match=word):
        Deployment.from_environment(environ)


def test_an_error_tells_no_password_of_an_address():
    for name in ("LABEL_STUDIO_URL", "REDIS_URL"):
        with pytest.raises(SettingError, match=rf"{name}.*(//…@host|not shown)") as error:
            Deployment.from_environment({name: "ftp://me:s3cret@host/"})
        assert "s3cret" not in str(error.value)
