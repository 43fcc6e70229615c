"""What is stored: every key of Redis with what bounds it, the format of each part, and what becomes of another format.

A part's number changes when this version can no longer read what the version before wrote, or the other way round. What
only gained fields keeps its number: unknown fields are ignored, and missing ones have defaults.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from ..store import text
from .project import Project
from .setting_choices import is_readable

__all__ = ["ERRORS", "KEYS", "PARTS", "READERS", "SHARED_KEYS", "Key", "Part", "make_readable", "matches"]

log = logging.getLogger(__name__)

ERRORS = ("error", "embedder_error", "image_error", "features_error")  # facts, the most urgent first


class Key(NamedTuple):
    """A key of Redis; in its name, ``*`` stands for whatever differs."""

    name: str
    part: str
    what: str
    bound: str
    removed: str


_PROJECT, _TASK = "with the project", "with the task"

# Keys below a project's own name (`Project.name`), which all go with the project.
KEYS = (
    Key("info", "facts", "facts about the project", "one field per fact that the code names", _PROJECT),
    Key("metrics", "facts", "what was counted", "one number per metric and label", _PROJECT),
    Key("lock", "facts", "who tends the project", "one value", "by its holder, or after 15 s"),
    Key("fence", "facts", "how often the lock was taken", "one number", _PROJECT),
    Key("changed", "facts", "what was written, for workers' copies", "about 2,000 writes", "the oldest, as newer come"),
    Key("queued", "facts", "a look is asked for", "one value", "when it begins, or after 600 s"),
    Key("tending", "facts", "the worker that looks", "one value", "when it ends, or its worker is dead"),
    Key("looked", "facts", "when a look ended last", "one value", "after 60 s"),
    Key("intents", "facts", "writes to Label Studio that are under way", "one field per kind", "when they are done"),
    Key("settings", "settings", "settings that somebody chose", "one field per setting", _PROJECT),
    Key("extra_params", "settings", "extra params as seen last", "the settings there are", _PROJECT),
    Key("tasks", "tasks", "each task's image and state", "one field per task", _TASK),
    Key(
        "balance", "tasks", "each task's value of the setting's field", "one field per task", "with the task or setting"
    ),
    Key("seen", "tasks", "tasks that a complete reading saw", "one id per task", "at the end of the reading"),
    Key("labels:*", "labels", "what annotations say", "one field per annotated task", _TASK),
    Key("journal", "journal", "events not acted on", "about 100,000 events", "by the look that acted on them"),
    Key("pace", "journal", "which tasks were labeled when", "tasks of one hour", "with the next label"),
    Key("annotators", "journal", "who annotated when", "people of one hour", "with the next annotation"),
    Key("orders:*", "orders", "every order's record", "2,000 orders, 50 whole", "the oldest ones, as newer ones come"),
    Key("order_inputs", "orders", "what each order was made of", "one field per whole order", "with its places"),
    Key("orders", "orders", "the same, for 0.1.0", "as 0.1.0 left it", _PROJECT),
    Key("pins", "curation", "tasks that come first", "one field per pinned task", "when unpinned, or with the task"),
    Key("exclusions", "curation", "tasks that are left out", "one field per task", "when included, or with the task"),
    Key("acts", "curation", "what admins pinned and left out", "1,000 acts", "the oldest ones, as newer ones come"),
    Key("acts_before", "curation", "what was before each act", "tasks of 100 acts", "the oldest, as newer ones come"),
    Key("campaign:*", "campaign", "model, guesses, phase", "labels of the project", _PROJECT),
    Key(
        "campaign:*:said:*",
        "campaign",
        "what the model says of each task",
        "1 byte a task, and 2 for each class",
        "by the next training",
    ),
    Key("campaign", "campaign", "the same, for 0.1.0", "as 0.1.0 left it", _PROJECT),
    Key("cache:*:blocks", "embeddings", "vectors", "twice the tasks' rows", "when compacted, or with the generation"),
    Key("cache:*:sums", "embeddings", "a checksum per block", "one field per block", "with the block"),
    Key("cache:*:rows", "embeddings", "which images are in it", "one field per task", _TASK),
    Key("cache:*:count", "embeddings", "blocks that were ever stored", "one number", "with the generation"),
    Key("cache:*:stored", "embeddings", "rows in the blocks", "one number", "with the generation"),
    Key("cache:*:layout", "embeddings", "where images stand on the map", "30 bytes a task", "with the generation"),
    Key("map", "embeddings", "which map is shown, and what it means", "a few facts", _PROJECT),
    Key("map:*", "embeddings", "the map's points and columns", "20 bytes a task, twice", "when a newer one is shown"),
    Key("pending", "waiting", "images that wait", "one member per task", "when handed out, or with the task"),
    Key(
        "inflight",
        "waiting",
        "shards at workers",
        "2 shards for each embedding worker, 4 to 128, and what went alone",
        "when done, or the worker is dead",
    ),
    Key("at_work:*", "waiting", "images that a worker decodes or embeds", "a minibatch", "with the shard"),
    Key(
        "late",
        "waiting",
        "images of slow servers",
        "one member per task",
        "when asked for again, or with the task",
    ),
    Key("tries", "waiting", "failures of images' servers", "one field per task", "when it went well, or with the task"),
    Key("deaths", "waiting", "deaths of their workers", "one field per task", "when it went well, or with the task"),
    Key("quarantine", "waiting", "images that are bad", "one field per task", "by reconcile, or with the task"),
    Key(
        "restoring:*",
        "waiting",
        "what a restore has brought so far",
        "what is in the backup",
        "at its end, or a day later",
    ),
    Key("thumbs", "thumbnails", "each task's thumbnail", "`LABELQUEUE_THUMBNAILS`, over all projects", _TASK),
    Key("thumbless", "thumbnails", "why a task has none", "one field per task", "an hour later, or with the task"),
    Key("thumbs_wanted", "thumbnails", "tasks that a page shows", "one member per task", "when cut, or after a minute"),
    Key("unreadable", "waiting", "records left out", "records of Label Studio", "by the reading that reads them"),
)
# The others.
SHARED_KEYS = (
    Key("lq:projects", "", "the projects there are", "one field per project", _PROJECT),
    Key("lq:forgotten", "", "what may be removed, from when on", "projects, generations of 90 days", "after 90 days"),
    Key("lq:delayed", "", "looks asked for later", "one member per project", "when due, or with the project"),
    Key("lq:metrics", "", "what was counted, of no project", "one number per metric and label", "never"),
    Key("lq:tended", "", "all projects were asked for", "one value", "after a minute"),
    Key("lq:tidied", "", "somebody tidied up", "one value", "after ten minutes"),
    Key("lq:probe", "", "whether Redis takes writes", "one value", "after a second"),
    Key("lq:watched", "", "who asks whether Label Studio is there", "one value", "after three seconds"),
    Key("lq:form_key", "", "what the console's forms carry is made with", "one value", "never"),
    Key("lq:note:*", "", "what the next page of the console says", "one sentence", "after ten minutes"),
    Key("lq:answer:*", "", "what a worker answered to a page", "one key per question", "after ten minutes, mostly"),
    Key("lq:waited:*", "", "a page waits for an answer", "one key per question", "when nobody asks any more"),
    Key("lq:thumbs", "", "thumbnails by their age", "one member per thumbnail", "ten minutes after the thumbnail"),
    Key("lq:thumbs_sum", "", "bytes of all thumbnails", "one number", "never"),
    Key("lq:searched", "", "who looks for lost projects", "one value", "after a minute"),
    Key("lq:strangers", "", "projects of others", "one field per project", "after fifteen minutes"),
    Key("lq:models", "", "cards of embedding models", "a few fields per embedder", "when an embedding worker starts"),
    Key("lq:slow:*", "", "a server of images that is left alone", "one key per server", "an hour after it was slow"),
    Key("lq:leaving:*", "", "a worker was told to stop", "one key per worker", "an hour later"),
    Key("lq:worker:*", "", "a worker lives", "one key per worker", "15 s after its last sign"),
    Key(
        "rq:*",
        "",
        "RQ's queues, jobs and workers",
        "what waits or ran lately",
        "a minute after success, a day after failure",
    ),
)


@dataclass(frozen=True)
class Part:
    """One part of a project's state, the keys of `KEYS` that name it.

    Attributes
    ----------
    format : int
        Written by this version, and read by it.
    facts : mapping of str to str
        Facts that make the next look fill the part again when it was dropped. Empty: it cannot be filled again, and is
        read as well as can be.
    reads : tuple of int
        Other formats that are read here too.
    """

    format: int
    facts: Mapping[str, str]
    reads: tuple[int, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Names below the project's own; one that ends with ``*`` stands for all that begin so."""
        names = (key.name.partition("*") for key in KEYS if PARTS[key.part] is self)
        return tuple(dict.fromkeys(start + star for start, star, _ in names))


READ_AGAIN = {"want_full": "1", "reading": "", "changes": ""}
PARTS: Mapping[str, Part] = {
    "facts": Part(1, {}),
    "settings": Part(1, {}),
    "tasks": Part(1, READ_AGAIN),
    "labels": Part(2, READ_AGAIN),
    "journal": Part(1, READ_AGAIN),
    "orders": Part(2, {"live": "", "hold": "", "refilling": "", "served": ""}, (1,)),
    "curation": Part(1, {}),
    "campaign": Part(3, {"learned": "", "standing": "{}"}, (1, 2)),
    "embeddings": Part(1, {"generation": "", "rotation_generation": ""}),
    "waiting": Part(1, READ_AGAIN),
    "thumbnails": Part(1, {"swept": ""}),  # cut again when a page shows them
}


def _object(raw: str) -> dict[str, Any]:
    found = json.loads(raw)
    if not isinstance(found, dict):
        raise ValueError(f"{raw[:40]!r} is no object")
    return found


# Facts that are more than text, and how they are read: of another version's those are left out that cannot be.
READERS: Mapping[str, Callable[[str], object]] = {
    **dict.fromkeys(
        (
            "act_number",
            "arrivals",
            "arrivals_told",
            "minibatch",
            "order_number",
            "live",
            "rollback_wanted",
            "webhook_misses",
            "webhook_revived",
        ),
        int,
    ),
    "head_left": int,
    **dict.fromkeys(
        ("single_seconds", "bulk_seconds", "counted_at", "setup_at", "full_at", "denied_since", "denied_at"),
        float,
    ),
    **dict.fromkeys(("set_aside", "webhook_secured_at", "webhook_revived_at", "described_at", "people_at"), float),
    **dict.fromkeys(
        (
            "standing",
            "refused_prelabels",
            "remade",
            "moving",
            "embedder",
            "embedder_wanted",
            "embedder_offered",
            "imported",
        ),
        _object,
    ),
    **dict.fromkeys(("counts", "people"), _object),
    "read_to": datetime.fromisoformat,
}


def matches(name: str, key: str) -> bool:
    """Tell whether a key has a row's name."""
    start, star, end = name.partition("*")
    return key.startswith(start) and key.endswith(end) and len(key) > len(start + end) if star else key == name


def make_readable(project: Project) -> list[str]:
    """Drop the parts of a project's state that another version wrote in a format of its own, and say so.

    Returns
    -------
    list of str
        Names of the parts that were dropped: the next look reads them again from Label Studio, embeds, learns or orders
        anew. The fact ``remade`` tells people.
    """
    ours = {name: part.format for name, part in PARTS.items()}
    raw = project.get("formats")
    said = _object(raw) if raw and _is_read(_object, raw) else {}
    theirs = dict.fromkeys(PARTS, 1) | said  # 1: from before they were written down
    if all(theirs[name] == ours[name] for name in PARTS):
        if said != ours:
            project.set(formats=json.dumps(ours))
        return []
    dropped, kept = [], []
    for name, part in PARTS.items():
        if theirs[name] in (ours[name], *part.reads):
            continue
        if part.facts:
            there = project.drop(*part.keys)
            project.set(**part.facts)
            if there or raw:  # of a new project there is nothing yet
                log.warning("project %d: its %s have format %s and are made anew", project.ref.id, name, theirs[name])
                dropped.append(name)
        else:
            log.warning("project %d: its %s have format %s, we read %d", project.ref.id, name, theirs[name], ours[name])
            kept.append(name)
    if "facts" in kept:
        _drop_facts(project)
    if "settings" in kept:
        _drop_settings(project)
    project.set(formats=json.dumps(ours))
    if dropped:
        project.drop("changed")
    if dropped or kept:
        project.set(remade=json.dumps({"anew": dropped, "kept": kept, "at": time.time()}))
    return dropped


def _drop_facts(project: Project) -> None:
    """Leave out the facts whose value is not what this version takes it for."""
    odd = [name for name, value in project.info().items() if value and not _is_read(READERS.get(name, str), value)]
    if odd:
        project.store.hdel(project.name("info"), *odd)


def _drop_settings(project: Project) -> None:
    """Leave out the choices that this version cannot read."""
    key = project.name("settings")
    if odd := [name for name, raw in project.store.hgetall(key).items() if not is_readable(text(name), raw)]:
        project.store.hdel(key, *odd)
    project.drop("extra_params")


def _is_read(reader: Callable[[str], object], value: str) -> bool:
    try:
        reader(value)
    except (ValueError, TypeError):
        return False
    return True
