"""Checks of the installation: Redis, Label Studio and our key to it, clocks, workers, the model, the disk."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable
from functools import partial

from redis.exceptions import RedisError

from ..exceptions import CredentialError, LabelStudioError, StoreError
from ..jobs import KINDS, TENDING, signs
from ..state import StoreFacts, why_refused
from .scene import Check, Scene, Seen, unknown, warning, well, wrong

__all__ = ["INSTALLATION", "STORE"]

log = logging.getLogger(__name__)

OLDEST = (6, 2)  # Redis that has every command we use
RIGHTS = ("projects.view", "projects.change", "tasks.view", "annotations.view", "predictions.any", "models.view",
          "webhooks.view", "webhooks.change", "views.view", "views.create", "views.change")  # fmt: skip
AWAY = "check REDIS_URL and that the server runs; the log names its address"
SKEW = 60.0  # seconds
ROOM, LITTLE_ROOM = 100 * 2**20, 2**30  # bytes of disk without which nothing goes on, and which people should know of


def _redis(scene: Scene) -> Seen:
    try:
        facts = scene.facts
    except (StoreError, RedisError) as error:
        log.warning("%s", error)
        cause = error if isinstance(error, RedisError) else error.__cause__
        if not isinstance(cause, RedisError):
            return wrong("it may drop what we keep", "set `maxmemory-policy noeviction` in Redis")
        return wrong(why_refused(cause), AWAY)
    numbers = tuple(int(part) for part in re.findall(r"\d+", facts.version)[:2])
    if numbers and numbers < OLDEST:
        return wrong(f"version {facts.version}", "take Redis 6.2 or newer; `docker-compose.yml` has 8.2")
    return well(f"version {facts.version or 'not told'} answers")


def _writes(facts: StoreFacts) -> Seen:
    if facts.refuses:
        what, _, way_out = facts.refuses.partition(": ")
        return wrong(f"nothing is taken: {what}", f"{way_out}; work goes on by itself within seconds")
    if facts.failed_write:
        return wrong(f"the last {facts.failed_write} failed", "make room on Redis's disk; its log says what happened")
    return well("are taken")


def _persistence(facts: StoreFacts) -> Seen:
    if facts.persistence == "unknown":
        return unknown("the server does not tell", "see that its provider keeps an append-only file")
    if facts.unsafe:
        what, _, way_out = facts.unsafe.partition(": ")
        return (wrong if facts.persistence == "none" else warning)(what, way_out)
    return well(facts.persistence)


def _memory(facts: StoreFacts) -> Seen:
    used = f"{facts.used / 2**20:.0f} MiB"
    if not facts.limit:
        return well(f"{used}, no limit")
    told = f"{used} of {facts.limit / 2**20:.0f} MiB, policy {facts.policy}"
    if facts.policy != "noeviction":
        return wrong(told, "set `maxmemory-policy noeviction`: another policy drops what we keep")
    return warning(told, "raise `maxmemory` before it is full") if facts.nearly_full else well(told)


def _label_studio(scene: Scene) -> Seen:
    url = scene.deployment.label_studio_url
    try:
        about, _ = scene.server
    except CredentialError as error:
        return unknown(f"{url}: {error}", "see `token`")
    except LabelStudioError as error:
        return wrong(str(error), "check that it runs, and LABEL_STUDIO_URL")
    return well(f"{about.get('release') or 'no version told'} {about.get('edition') or ''} at {url}".replace("  ", " "))


def _token(scene: Scene) -> Seen:
    try:
        user = scene.user
    except CredentialError as error:
        return wrong(str(error), "copy an access token from Label Studio's Account & Settings page")
    kind = "legacy token" if re.fullmatch("[0-9a-f]{40}", scene.deployment.label_studio_api_key) else "personal token"
    whose = f"{kind} of {user.get('email') or user.get('username') or 'a user'}"
    told = user.get("permissions")
    if not isinstance(told, list):
        return well(f"{whose}; this Label Studio does not tell its rights")
    missing = [right for right in RIGHTS if right not in told]
    if missing:
        return wrong(f"{whose} lacks {', '.join(missing)}", "use the key of a user with these rights")
    return well(f"{whose}, with every right that is needed")


def _clock(scene: Scene) -> Seen:
    off = {sign.machine: sign.ahead for sign in signs(scene.store) if abs(sign.ahead) > SKEW}
    if off:
        told = ", ".join(f"{machine} by {seconds:+.0f} s" for machine, seconds in off.items())
        return warning(f"machines of workers differ from Redis: {told}", "set all machines by NTP")
    _, ahead = scene.server
    if ahead is None:
        return unknown("Label Studio does not tell the time")
    if abs(ahead) <= SKEW:
        return well("agree")
    side = "ahead of" if ahead > 0 else "behind"
    return warning(f"Label Studio's is {abs(ahead):.0f} s {side} ours", "set both machines by NTP")


def _workers(scene: Scene) -> Seen:
    found, mine = signs(scene.store), scene.deployment.label_studio_url
    if not found:
        return wrong("none runs", "start `labelqueue serve` or `labelqueue worker`")
    kinds = {kind: sum(sign.kind == kind for sign in found) for kind in KINDS}
    missing = [kind for kind, count in kinds.items() if not count]
    if missing and sum(kinds.values()) == len(found):  # workers of the version before are of no kind: they do both
        return wrong(f"no {missing[0]} worker runs", f"start `labelqueue serve` or `labelqueue worker {missing[0]}`")
    for sign in found:
        if sign.kind == TENDING and sign.label_studio not in ("", mine):
            told = f"the tending worker on {sign.machine} has LABEL_STUDIO_URL {sign.label_studio}, here it is {mine}"
            return wrong(told, "give all machines of one Redis the same, then connect the projects that were added")
    if aside := [sign for sign in found if sign.trouble]:
        told = "; ".join(f"{sign.kind} on {sign.machine} leaves its work to others: {sign.trouble}" for sign in aside)
        return warning(told, "repair that machine, and start its workers again")
    machines = sorted({sign.machine for sign in found})
    where = f" on {len(machines)} machines: {', '.join(machines)}" if len(machines) > 1 else ""
    return well(f"{len(found)} alive ({', '.join(f'{count} {kind}' for kind, count in kinds.items())}){where}")


def _embedder(scene: Scene) -> Seen:
    name, weights = scene.deployment.embedder, scene.deployment.weights
    if weights is not None and not weights.exists():
        return wrong(f"{name}: there is no file {weights}", "correct LABELQUEUE_WEIGHTS")
    if weights is not None and weights.is_dir():
        weights = file if (file := weights / f"{name}.safetensors").is_file() else None
    source = f"weights in {weights}" if weights else "of the package" if name == "bundled" else "weights of timm's hub"
    size = f", images of {pixels} pixels" if (pixels := scene.deployment.image_size) else ""
    return well(f"new projects get {name}, {source}{size}; others keep theirs")


def _disk(scene: Scene) -> Seen:
    home = scene.deployment.home
    there = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    told = f"{free / 2**30:.1f} GiB free at {home}"
    if free < ROOM:
        return wrong(told, "make room; work goes on by itself")
    return warning(told, "make room before it is full") if free < LITTLE_ROOM else well(told)


def _of_store(look: Callable[[StoreFacts], Seen], scene: Scene) -> Seen:
    return look(scene.facts)


# What status shows too: name, why it matters, and what looks at it.
STORE: tuple[tuple[str, str, Callable[[StoreFacts], Seen]], ...] = (
    ("writes", "what Redis does not take is not done: Label Studio's events are refused, workers wait", _writes),
    (
        "persistence",
        "what Redis loses is read again from Label Studio; settings and orders only from a backup",
        _persistence,
    ),
    ("memory", "a full Redis takes nothing more", _memory),
)

INSTALLATION: tuple[Check, ...] = (
    Check("Redis", "it keeps everything that is remembered", _redis),
    *(Check(name, why, partial(_of_store, look)) for name, why, look in STORE),
    Check("Label Studio", "tasks and labels are read there, and orders published", _label_studio),
    Check("token", "with our own key we read and publish; the one in /setup is no use", _token),
    Check("clocks", "what changed is asked for by time, and tokens end by it", _clock),
    Check("workers", "they do everything; the web process only writes down", _workers),
    Check("embedder", "images are ordered by what it sees in them", _embedder),
    Check("disk", "the data folder of this machine holds copies of embeddings, and the embedded Redis", _disk),
)
