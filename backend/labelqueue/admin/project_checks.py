"""Checks of one project: its connection, its queue in Label Studio, its work here, its images."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from ..exceptions import LabelStudioError, NotFoundError, ProjectError
from ..jobs import TEND, EmbedderChoice, alive, is_on_its_way, request_tend, slow_servers
from ..labelstudio import SAMPLING
from ..state import SECRET_HEADER, Orders, shared_time, text
from .lines import lacking
from .pinning import curation_counts
from .scene import Check, Scene, Seen, unknown, warning, well, wrong
from .switches import reconcile, soon

__all__ = ["PROJECT"]

CONNECTED = "CO"  # Label Studio's word for a backend that answered
ERRORS = ("error", "embedder_error", "image_error", "features_error", "settings_error", "rollback_error")
FEW = 3
PRIVATE = (
    "see that its web process runs at this address; for a private one start Label Studio with ML_BLOCK_LOCAL_IP=false "
    "and SSRF_PROTECTION_ENABLED=false, else it refuses to call it"
)


def _project(scene: Scene) -> Seen:
    try:
        info = scene.info
    except ProjectError as error:
        return wrong(str(error), "connect this backend in Label Studio under Settings > Model")
    for name in ERRORS:
        if info.get(name):
            return wrong(f"{name.replace('_', ' ')}: {info[name]}", "the error says it; the worker's log has more")
    if info.get("set_aside"):
        way_out = f"nothing, if it is; when it shows up it goes on; `labelqueue forget {scene.number}` removes it now"
        return warning("deleted in Label Studio and set aside for a week", way_out)
    if info.get("paused"):
        return warning(f"paused: {info['paused']}", f"`labelqueue resume {scene.number}`, if you did not mean it")
    return well(info.get("title") or f"project {scene.number}")


def _connection(scene: Scene) -> Seen:
    try:
        ours = scene.ours
    except NotFoundError:
        return wrong("Label Studio does not know this project, or our key may not see it", "see `token`")
    except LabelStudioError as error:
        if not error.timed_out:
            raise
        return wrong("Label Studio waits in vain for an answer of one of its ML backends", PRIVATE)
    if not ours:
        others = ", ".join(str(backend["url"]) for backend in scene.backends) or "none"
        return wrong(
            f"none of its ML backends ever answered as labelqueue (there: {others})",
            f"connect this backend under Settings > Model; if it is there, {PRIVATE}",
        )
    answers = [backend for backend in ours if backend.get("state") == CONNECTED]
    if not answers:
        why = f": {ours[0]['error_message']}" if ours[0].get("error_message") else ""
        private = ", a private address," if _is_private(str(ours[0]["url"])) else ""
        return wrong(f"{ours[0]['url']}{private} does not answer Label Studio{why}", PRIVATE)
    return well(f"{answers[0]['url']} answers Label Studio")


def _is_private(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:  # a name; one without a dot is of this machine, or of a container network
        return "." not in host


def _backends(scene: Scene) -> Seen:
    urls = [str(backend["url"]) for backend in scene.backends]
    if len(scene.ours) > 1:
        return wrong(f"{len(scene.ours)} of them are labelqueue: {', '.join(urls)}", "remove all but one")
    if len(urls) > 1:
        return warning(f"{len(urls)}: {', '.join(urls)}", "see that the others do not change the model version")
    return well(f"{len(urls)}")


def _webhook(scene: Scene) -> Seen:
    secret, url = scene.project.get("secret"), scene.info.get("backend_url", "")
    addresses = {str(backend["url"]).rstrip("/") for backend in scene.ours} | {url.rstrip("/")}
    hooks = [hook for hook in scene.webhooks if hook["url"].rstrip("/").removesuffix("/webhook") in addresses]
    if not hooks:
        return wrong("there is none", "remove the connection under Settings > Model and connect again, which makes one")
    for hook in hooks:
        if hook.get("is_active") is False:
            return wrong(f"{hook['url']} is switched off", "switch it on under Settings > Webhooks")
    headers = [hook["headers"] if isinstance(hook.get("headers"), dict) else {} for hook in hooks]
    if any(SECRET_HEADER not in sent for sent in headers):
        return wrong(f"it does not send {SECRET_HEADER}", f"`labelqueue doctor {scene.number} --fix` sets it")
    if any(sent[SECRET_HEADER] != secret for sent in headers):
        return wrong(f"it sends another {SECRET_HEADER}", f"`labelqueue doctor {scene.number} --fix` sets it")
    return well("active, with our secret")


def _secure(scene: Scene) -> str:
    scene.project.set(webhook_secured_at="", webhook_misses="0")
    request_tend(scene.project)
    return f"the header is set {soon(scene.project)}"


def _queue(scene: Scene) -> Seen:
    live, paused = Orders(scene.project).live(), scene.info.get("paused")
    sampling, version = str(scene.remote.get("sampling") or ""), str(scene.remote.get("model_version") or "")
    if paused:
        return well(f"sampling {sampling!r}, left alone while paused")
    if live is None:
        return warning(
            "no order yet",
            f"wait for the first images to be embedded; `labelqueue status {scene.number}` shows how many",
        )
    way_out = f"`labelqueue doctor {scene.number} --fix` has a worker look"
    if sampling != SAMPLING:
        return wrong(f"sampling is {sampling!r}, not {SAMPLING!r}", way_out)
    if version != live.version:
        return wrong(f"the model version is {version!r}, the live order {live.version!r}", way_out)
    return well(f"{SAMPLING!r} by {live.version!r}")


def _look(scene: Scene) -> str:
    request_tend(scene.project)
    return f"a look is asked for: it restores the queue or says why not, {soon(scene.project)}"


def _predictions(scene: Scene) -> Seen:
    live = Orders(scene.project).live()
    if live is None:
        return well("none yet, as there is no order")
    expected = len(scene.project.task_rows(list(live.scores)))
    stored = scene.predictions.get(live.version, 0)
    told = f"{stored} of {expected} of {live.version!r}"
    if stored == expected:
        return well(told)
    if stored > expected:
        return warning(told, f"`labelqueue retrain {scene.number}` publishes a new order without doubled ones")
    return wrong(told, f"`labelqueue reconcile {scene.number}` publishes a new order")


def _miss(scene: Scene) -> str:
    return reconcile(scene.project)


def _pins(scene: Scene) -> Seen:
    told = curation_counts(scene.project)
    what = f"{told['pinned']} pinned, {told['done']} of them labeled, {told['excluded']} left out"
    if told["waits"]:
        return warning(
            f"{what}; {told['waits']}", "wait a moment; if it stays so, see `project`, `queue` and `workers`"
        )
    return well(what)


def _members(scene: Scene) -> Seen:
    members = scene.remote.get("members")
    if isinstance(members, list):
        if len(members) > 1:
            return warning(f"{len(members)} members", "Label Studio then mixes the next tasks; take the others out")
        return well(f"{len(members)}")
    about, _ = scene.server
    if about.get("edition") == "Community":
        return well("the community edition makes none")
    return unknown("Label Studio does not tell", "with more than one, expect the next few tasks in random order")


def _overlap(scene: Scene) -> Seen:
    wanted: Any = scene.remote.get("maximum_annotations")
    if isinstance(wanted, int) and wanted > 1:
        return warning(f"{wanted} annotations per task", "ask for one annotation per task, or live with it")
    return well("one annotation per task")


def _locks(scene: Scene) -> Seen:
    project, living = scene.project, alive(scene.store)
    way_out = f"`labelqueue doctor {scene.number} --fix` ends it"
    tending = scene.store.get(project.name("tending"))
    if tending is not None and text(tending) not in living:
        return wrong(f"worker {text(tending) or 'without a name'} died while it tended the project", way_out)
    if scene.store.pttl(project.name("lock")) == -1:
        return wrong("the lock has no end", way_out)
    asked = scene.store.get(project.name("queued"))
    if tending is None and asked is not None and not is_on_its_way(scene.store, TEND, text(asked), living):
        return wrong("a look is marked as asked for, and no job waits", way_out)
    return well("held by a living worker" if tending is not None else "none is held")


def _unlock(scene: Scene) -> str:
    project = scene.project
    scene.store.delete(project.name("lock"), project.name("tending"))
    request_tend(project)
    return f"taken away; a look follows {soon(project)}"


def _embeddings(scene: Scene) -> Seen:
    generation, tasks = scene.info.get("generation", ""), scene.project.task_count()
    rows = scene.store.hlen(scene.project.name("cache", generation, "rows")) if generation else 0
    bad = scene.store.hlen(scene.project.name("quarantine"))
    choice = EmbedderChoice.load(scene.info.get("embedder", ""))
    told = f"{rows} of {tasks} images" + (f" in generation {generation[:12]}" if generation else "")
    told += f" of {choice.told}" if choice else ""
    if rows < tasks and choice and choice.imported:
        return warning(told, lacking(scene.project.ref.id, tasks - rows))
    if tasks and not rows:
        return wrong(told, "see `workers`, `embedder` and `images`; the worker's log says more")
    if rows + bad < tasks:
        return warning(f"{told}, {tasks - rows - bad} wait", "wait, or start more workers")
    return well(told)


def _images(scene: Scene) -> Seen:
    bad = scene.project.quarantined()
    if not bad:
        return well("every image could be used")
    reasons = sorted({reason for _, reason in bad.values()})
    told = f"{len(bad)} cannot be used: {'; '.join(reasons[:FEW])}{' …' if len(reasons) > FEW else ''}"
    return warning(told, f"correct them; `labelqueue reconcile {scene.number}` tries them again")


def _image_servers(scene: Scene) -> Seen:
    now = shared_time(scene.store)
    slow = [f"{server} ({why})" for server, (until, why) in slow_servers(scene.store).items() if until > now]
    if slow:
        return warning(f"left alone for a while: {', '.join(slow[:FEW])}", "see that it runs; each is tried again")
    failing = scene.store.hlen(scene.project.name("tries"))
    if failing:
        return warning(f"{failing} images wait for servers that failed", "see that it runs; each is tried again")
    return well("every one answers")


def _records(scene: Scene) -> Seen:
    left_out = scene.project.unreadable()
    if not left_out:
        return well("every one can be read")
    first = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:FEW])
    return warning(f"{len(left_out)} cannot be read: {first}", "correct or delete them in Label Studio")


PROJECT: tuple[Check, ...] = (
    Check("project", "what the last look said", _project),
    Check("connection", "without it Label Studio tells nothing and asks nothing", _connection),
    Check("ML backends", "each may answer for the others' predictions; two queues cannot both be served", _backends),
    Check("webhook", "it tells of labels at once; without it they are read once a minute", _webhook, _secure),
    Check("queue", "only with both set as published is the next task the one that we chose", _queue, _look),
    Check("predictions", "tasks without one are served at random, after all others", _predictions, _miss),
    Check("pins", "until the queue follows them, others are labeled first, or what was left out", _pins),
    Check("members", "with more than one, Label Studio mixes the next few tasks", _members),
    Check("overlap", "with more than one, tasks that others began come first, at random", _overlap),
    Check("locks", "what a dead worker holds keeps others from the project", _locks, _unlock),
    Check("embeddings", "only embedded images are ordered", _embeddings),
    Check("images", "what cannot be used comes last, in no order", _images),
    Check("image servers", "a slow one holds up its own images", _image_servers),
    Check("records", "what cannot be read is left out", _records),
)
