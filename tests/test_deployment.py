"""Dockerfile and docker-compose.yml agree with the settings, the command line, the Makefile and .env.example."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import labelqueue.web
from labelqueue.cli.parser import build_parser
from labelqueue.settings import DEPLOYMENT, Deployment
from labelqueue.worker.runtime import Runtime

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = ("web", "tending", "embedding")
NAMES = ("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST", "LABEL_STUDIO_ALIASES")
NOT_OURS = {"HF_HOME"}  # read by the model hub's client
PLACEHOLDER = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def dockerfile() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with their arguments on one line."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in dockerfile() if name == instruction]


@pytest.mark.parametrize("service", OURS)
def test_the_environment_is_made_of_known_settings_with_allowed_values(service):
    environment = {k: v for k, v in SERVICES[service]["environment"].items() if k not in NOT_OURS}
    assert set(environment) <= set(DEPLOYMENT)
    filled = {
        name: PLACEHOLDER.sub(lambda m: m[3] if m[2] == "-" else "filled-in", value)
        for name, value in environment.items()
    }
    deployment = Deployment.from_environment(filled)
    assert deployment.redis_url == "redis://redis:6379/0"
    assert deployment.basic_auth_user and deployment.basic_auth_pass, "a container network is not loopback"
    assert deployment.label_studio_url == "http://label-studio:8080"
    assert not deployment.label_studio_aliases and not deployment.allow_hosts and deployment.ca_bundle is None


def test_the_addresses_that_label_studio_writes_are_known_as_its_own():
    """Containers reach it by another name than browsers do."""
    environment = SERVICES["embedding"]["environment"]
    assert environment["LABEL_STUDIO_HOST"] == SERVICES["label-studio"]["environment"]["LABEL_STUDIO_HOST"]
    assert environment["LABEL_STUDIO_HOST"] != environment["LABEL_STUDIO_URL"]
    runtime = Runtime(Deployment.from_environment({name: PLACEHOLDER.sub("", environment[name]) for name in NAMES}))
    runtime.deployment = replace(runtime.deployment, label_studio_api_key="0" * 40)
    asked = []

    class AskedError(Exception):
        """What was to be asked is known."""

    def get_file(path, timeout=0.0):
        asked.append(path)
        raise AskedError

    runtime.client.get_file = get_file
    for path in ("/tasks/7/resolve/?fileuri=czM6Ly9iL2E=", "/storage-data/uploaded/?filepath=upload/1/a.png"):
        with pytest.raises(AskedError):
            runtime.fetcher.read(f"{environment['LABEL_STUDIO_HOST']}{path}", 7)
        assert asked.pop() == path


def test_what_may_be_set_is_explained_beside_what_must():
    optional = {name for name, kind, _ in PLACEHOLDER.findall((ROOT / "docker-compose.yml").read_text()) if kind == "-"}
    told = set(re.findall(r"^# (\w+)=", (ROOT / ".env.example").read_text(), re.M))
    assert told <= optional and {"LABELQUEUE_ALLOW_HOSTS", "LABEL_STUDIO_ALIASES", "LABELQUEUE_CA_BUNDLE"} <= told


def test_the_images_environment_is_made_of_known_settings():
    names = {pair.split("=")[0] for line in arguments("ENV") for pair in line.split()}
    assert {name for name in names if not name.startswith(("PYTHON", "PIP_"))} <= set(DEPLOYMENT)


def test_the_commands_parse():
    for kind in ("tending", "embedding"):
        parsed = build_parser().parse_args(SERVICES[kind]["command"])
        assert (parsed.command, parsed.kind) == ("worker", kind)
    entrypoint, command = json.loads(arguments("ENTRYPOINT")[0]), json.loads(arguments("CMD")[0])
    assert entrypoint == ["labelqueue"]
    assert build_parser().parse_args(command).command == "serve"


def test_the_web_command_runs_the_web_package_and_nothing_else():
    *python, package = SERVICES["web"]["entrypoint"]
    assert (python, package, SERVICES["web"]["command"]) == (["python", "-m"], labelqueue.web.__name__, [])
    assert find_spec(f"{package}.__main__")


def test_every_variable_has_a_default_or_stands_in_the_example():
    example = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
    asked = {name for name, kind, _ in PLACEHOLDER.findall((ROOT / "docker-compose.yml").read_text()) if kind != "-"}
    assert asked == set(example)
    assert not any(example[name] for name in example if "PASS" in name or "KEY" in name), "no secret to forget"


def test_images_are_pinned_and_label_studio_is_the_one_that_is_tested():
    for name, service in SERVICES.items():
        assert re.search(r":\d+\.\d+", service["image"]), f"{name} uses {service['image']}"
    tested = re.search(r"^LABEL_STUDIO_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.M)
    assert tested and SERVICES["label-studio"]["image"].endswith(f":{tested[1]}")
    assert re.fullmatch(r"python:3\.1[123]-slim-\w+", arguments("FROM")[0])


def test_ports_are_published_on_loopback_only():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 2 and all(port.startswith("127.0.0.1:") for port in published)


def test_label_studio_may_call_a_private_address_and_accepts_our_key():
    environment = SERVICES["label-studio"]["environment"]
    assert environment["ML_BLOCK_LOCAL_IP"] == environment["SSRF_PROTECTION_ENABLED"] == "false"
    assert environment["LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN"] == "true"
    assert environment["LABEL_STUDIO_USER_TOKEN"] == SERVICES["web"]["environment"]["LABEL_STUDIO_API_KEY"]


def test_redis_keeps_everything():
    command = SERVICES["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert command[command.index("--appendonly") + 1] == "yes"
    assert re.fullmatch(r"redis:8\.2-\w+", SERVICES["redis"]["image"]), "the version that the tests run with"


def test_services_start_in_order_and_their_volumes_exist():
    for name in OURS:
        for needed, condition in SERVICES[name]["depends_on"].items():
            assert condition == {"condition": "service_healthy"} and SERVICES[needed]["healthcheck"]["test"]
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"])


def test_the_image_runs_as_a_user_and_asks_for_its_health():
    assert arguments("USER") and arguments("USER")[-1] not in ("root", "0")
    check = json.loads(arguments("HEALTHCHECK")[0].split("CMD ", 1)[1])
    assert "/health" in check[-1]
    done = subprocess.run([sys.executable, *check[1:]], env={"PORT": "1"}, capture_output=True, text=True)
    assert (
        done.returncode == 1 and "Connection refused" in done.stderr
    )  # it is Python, and it fails when nobody answers


def test_what_the_image_copies_exists_and_is_sent_to_the_engine():
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for line in arguments("COPY") for source in line.split()[:-1]}
    assert copied == sent
    assert all((ROOT / source).exists() for source in copied)


# -- further machines

OPENED = yaml.safe_load((ROOT / "docker-compose.machines.yml").read_text())["services"]
WORKER = yaml.safe_load((ROOT / "docker-compose.worker.yml").read_text())


def placeholders(file):
    """Variables that a file of compose cannot do without, and those that have a default."""
    found = PLACEHOLDER.findall((ROOT / file).read_text())
    return {name for name, kind, _ in found if kind == "?"}, {name for name, kind, _ in found if kind == "-"}


def filled(value):
    return PLACEHOLDER.sub(lambda m: m[3] if m[2] == "-" else "filled-in", value)


@pytest.mark.parametrize("file", ["docker-compose.machines.yml", "docker-compose.worker.yml"])
def test_what_further_machines_must_be_told_stands_at_the_top_of_the_file(file):
    told = "".join(line for line in (ROOT / file).read_text().splitlines(True) if line.startswith("#"))
    assert all(re.search(rf"\b{name}\b", told) for name in placeholders(file)[0])
    assert placeholders(file)[1] <= placeholders("docker-compose.yml")[1], "told in .env.example"


@pytest.mark.parametrize("service", ["embedding", "tending"])
def test_a_worker_of_a_further_machine_is_set_as_those_of_the_first_one(service):
    here, there = WORKER["services"][service], SERVICES[service]
    assert here["command"] == there["command"] and here["image"] == there["image"]
    environment = {name: value for name, value in here["environment"].items() if name not in NOT_OURS}
    differ = {name for name, value in environment.items() if value != there["environment"].get(name)}
    assert differ == {"REDIS_URL"}
    lacks = there["environment"].keys() - here["environment"].keys()
    assert lacks == {"BASIC_AUTH_USER", "BASIC_AUTH_PASS", "LABELQUEUE_METRICS", "HOST", "PORT"}, "of web alone"
    deployment = Deployment.from_environment({name: filled(value) for name, value in environment.items()})
    assert deployment.redis_url.startswith("rediss://:filled-in@redis:6380/0")
    # A project is known by Label Studio's address: the name is the same, wherever it leads.
    names = {entry.split(":")[0] for entry in here["extra_hosts"]}
    assert names == {"label-studio", "redis"} and deployment.label_studio_url == "http://label-studio:8080"
    assert here["hostname"].startswith("${MACHINE")


def test_redis_is_open_with_tls_and_a_password_only_and_keeps_everything():
    opened, base = OPENED["redis"], SERVICES["redis"]
    assert opened["command"][: len(base["command"])] == base["command"]
    options = dict(zip(opened["command"][1::2], opened["command"][2::2], strict=True))
    assert options["--requirepass"].startswith("${REDIS_PASSWORD:?")
    port = options["--tls-port"]
    assert opened["ports"] == [f"${{MAIN_ADDRESS:?set it in .env}}:{port}:{port}"]
    mounted = opened["volumes"][0].removesuffix(":ro").rpartition(":")[2]
    assert all(options[name].startswith(f"{mounted}/") for name in ("--tls-cert-file", "--tls-key-file"))
    assert opened["environment"]["REDISCLI_AUTH"] == options["--requirepass"]
    for name in OURS:
        url = OPENED[name]["environment"]["REDIS_URL"]
        assert url.partition(":?")[0] == "redis://:${REDIS_PASSWORD" and url.endswith("@redis:6379/0")
    assert set(OPENED) == {*OURS, "redis", "label-studio"}


def test_volumes_of_a_further_machine_exist():
    mounted = {v.split(":")[0] for one in WORKER["services"].values() for v in one["volumes"] if v[0] != "$"}
    assert mounted == set(WORKER["volumes"])


def test_the_names_of_the_version_before_still_serve():
    import labelqueue.app
    import labelqueue.embedding
    import labelqueue.tending
    import labelqueue.worker

    assert labelqueue.app.create_app is labelqueue.web.create_app
    assert labelqueue.tending.tend_job is labelqueue.worker.tend_job
    assert labelqueue.embedding.embed_job is labelqueue.worker.embed_job
