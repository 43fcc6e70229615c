"""Where a project stands, what happens next and what is wrong, in plain sentences; sure only of what is known.

Everything here is made of `admin.project_glance` and `admin.installation_glance`, as text: templates escape it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..state import NOT_CONNECTED

__all__ = [
    "Stage",
    "Warned",
    "accuracy_told",
    "duration",
    "forecast_told",
    "many",
    "minutes",
    "next_told",
    "stage",
    "standing",
    "warnings",
]

Facts = Mapping[str, Any]

AT_WORK = 900.0  # seconds since the last label, until which the pace of the last hour is the present one
NO_CONTROL = "a control to learn from"  # how that begins for which a cold start waits in vain
ENOUGH = 30  # random checks from which on there is an interval
COLD = "images are ordered so that the first labels cover what all of them show, since no model has a say yet"
WARM = "images that teach the model most come first"


class Stage(NamedTuple):
    """Where a project stands, in a word or two.

    Attributes
    ----------
    word : str
    tone : str
        Of its badge: ``good``, ``warn``, ``bad``, ``accent`` or empty.
    """

    word: str
    tone: str


class Warned(NamedTuple):
    """What is wrong, and the way out.

    Attributes
    ----------
    tone : str
        ``failed`` for what does not work, ``warning`` for what works and will surprise people.
    told, way_out : str
    view : str
        Page on which to go on; empty for none.
    """

    tone: str
    told: str
    way_out: str
    view: str = ""


def many(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 label``, ``1,200 labels``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Return about how long something takes, in the unit that people would use."""
    if seconds < 90:
        return "about a minute"
    for unit, length, until in (("minute", 60, 90 * 60), ("hour", 3600, 36 * 3600)):
        if seconds < until:
            return f"about {many(round(seconds / length), unit)}"
    days = round(seconds / 86_400)
    return f"about {many(days, 'day')}" if days <= 365 else "more than a year"


def minutes(seconds: float) -> str:
    """Return how long one label took: in seconds, from two minutes on in minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def stage(facts: Facts) -> Stage:
    """Return where a project stands, in a word or two: the first of these that holds."""
    learning, total = facts["learning"] or {}, facts["tasks"]
    if facts["set_aside"]:
        return Stage("set aside", "bad")
    if facts["paused"] == NOT_CONNECTED:
        return Stage("not connected", "bad")
    if facts["paused"]:
        return Stage("paused", "warn")
    if facts["reading"] and not facts["read"]:
        return Stage("reading", "accent")
    if not total:
        return Stage("no images", "")
    if _left(facts) <= 0:
        return Stage("all labeled", "good")
    if not facts["version"]:
        return Stage("embedding" if facts["pending"] else "begins", "accent")
    return Stage("warm", "good") if learning.get("phase") == "warm" else Stage("cold start", "accent")


def standing(facts: Facts) -> list[str]:
    """Return where a project stands."""
    return list(_standing(facts))


def _standing(facts: Facts) -> Iterator[str]:
    if facts["set_aside"]:
        yield f"This project is set aside: {facts['set_aside']}."
        return
    if facts["paused"] == NOT_CONNECTED:
        yield "Label Studio does not ask this backend any more, so nothing is ordered here."
    elif facts["paused"]:
        yield f"The queue is {_as_paused(facts['paused'])}. Label Studio serves images as it did before."
    if reading := facts["reading"]:
        yield f"Everything is being read from Label Studio: {reading['seen']:,} of {reading['of']:,} tasks so far."
    if not facts["tasks"]:
        if not facts["reading"]:
            yield "There are no tasks yet: import images in Label Studio, they join the queue by themselves."
        return
    yield from _embedding(facts)
    learning = facts["learning"] or {}
    if facts["version"] and not facts["paused"]:
        if _left(facts) <= 0:
            done = "labeled, skipped or left out" if facts.get("left_out") else "labeled or skipped"
            yield f"Every image is {done}: nothing is left to put in order."
        elif learning.get("phase") == "warm":
            yield f"The warm phase has begun ({learning['reason']}): {WARM}."
        else:
            yield f"This is the cold start: {COLD}."
        published = many(facts["open"], "published image is", "published images are")
        yield f"The live order is {facts['version']}; {published} still to be labeled."
    if facts["hold"]:
        yield f"This order is held, and no new one takes its place: {facts['hold']}."
    yield from _people(facts)


def _embedding(facts: Facts) -> Iterator[str]:
    building = (facts["embedder"] or {}).get("building")
    if facts["pending"]:
        order = "" if facts["version"] else "; the first order follows once enough of them are"
        waiting = many(facts["pending"], "image waits", "images wait")
        yield f"{many(facts['embedded'], 'image is', 'images are')} embedded, {waiting}{order}."
    elif not facts["version"] and not facts["paused"]:
        yield "The first order is being made." if facts["embedded"] else "The images are about to be embedded."
    if building:
        yield f"All images are embedded once more with {building}, which serves when that is done."


def _people(facts: Facts) -> Iterator[str]:
    if facts["annotators"]:
        pace = f", at {many(facts['pace'], 'image')} an hour" if facts["pace"] else ""
        yield f"{many(facts['annotators'], 'person', 'people')} labeled within the last hour{pace}."
    elif facts["pace"]:  # nothing told us by whom
        yield f"Within the last hour images were labeled at {facts['pace']:,} an hour."
    else:
        yield "Nobody labeled within the last hour."


def next_told(facts: Facts, now: float) -> list[str]:
    """Return what happens next, and when as far as the pace tells.

    Parameters
    ----------
    now : float
        Unix time.
    """
    return list(_next(facts, now))


def _next(facts: Facts, now: float) -> Iterator[str]:
    learning, left = facts["learning"], _left(facts)
    if facts["set_aside"]:
        return
    if facts["paused"] == NOT_CONNECTED:
        yield "Once this backend is connected again, the queue goes on where it was."
        return
    if facts["paused"]:
        yield "Nothing is trained or ordered until somebody resumes; what is labeled meanwhile counts then."
        return
    if facts["reading"] and not facts["read"]:
        yield "The first order follows once everything is read: a part of the labels would teach what is not so."
        return
    if not facts["tasks"] or learning is None:
        return
    if facts["retrain_wanted"]:
        yield "A training was asked for and comes with the next look, within seconds."
    elif left <= 0:
        yield "Images that you import later are embedded and join the order by themselves."
        return
    elif _teaches_nothing(learning):
        yield "The cold start orders all images: the label config has no control from which a model could learn."
        return
    elif learning["phase"] == "cold" and learning["waits_for"]:
        yield f"Before the model has a say, the cold start waits: {'; '.join(learning['waits_for'])}."
    if not facts["retrain_wanted"] and learning["labels"]:
        wait = learning["retrain_every"] - learning["unlearned"]
        again = "again " if learning["model"] else ""
        if 0 < wait <= left:
            yield f"The model trains {again}after {many(wait, 'more label')}{_in_about(wait, facts, now)}."
        elif wait <= 0 and learning["model"]:
            yield f"The model trains {again}with the next look, within seconds."
    if left > 0 and (pace := _pace(facts, now)):
        rest = many(left, "image is", "images are")
        yield f"At the present pace the last {rest} labeled in {duration(left / pace * 3600)}."


def accuracy_told(facts: Facts) -> list[str]:
    """Return what is known of the model's accuracy, what that means, and what it takes to know more."""
    accuracy, learning = facts["accuracy"], facts["learning"] or {}
    overall = (accuracy or {}).get("overall") or {"count": 0, "right": 0}
    if not overall["count"]:
        return list(_unknown(facts, accuracy or {}, learning))
    told = f"The model was right on {overall['right']:,} of {many(overall['count'], 'image')} drawn at random"
    if overall["interval"] is None:
        lines = [
            f"{told}: {overall['accuracy']:.0%}, too few to say how sure that is. From {ENOUGH} on "
            "there is an interval."
        ]
    else:
        low, high = overall["interval"]
        lines = [
            f"{told}: {overall['accuracy']:.0%}. With 95% confidence, it is right on images that nobody chose "
            f"between {low:.0%} and {high:.0%} of the time.",
            "That is the mean of the models that served so far; the present one has learned more since.",
        ]
    lines += _interval_takes(facts, accuracy)
    if accuracy["stalled"]:
        lines.append("It has stopped improving: more labels of the same kind may not be worth their time.")
    return lines


def _unknown(facts: Facts, accuracy: Facts, learning: Facts) -> Iterator[str]:
    if _teaches_nothing(learning):
        yield "There is no model, and none to come: the label config has no control to learn from."
        return
    if learning.get("model"):
        yield "How good the model is on images without a label is not known yet: no random check has a label."
    else:
        yield "There is no model yet, so there is nothing to measure."
    if not facts["control_share"]:
        yield "Random checks are switched off: with the setting control_share above 0 some are served, and measured by."
        return
    yield f"{facts['control_share']:.0%} of the queue are drawn at random to measure the model."
    yield from _interval_takes(facts, accuracy)


def _interval_takes(facts: Facts, accuracy: Facts) -> Iterator[str]:
    if accuracy.get("wanted") and (left := accuracy.get("labels_wanted")):
        told = f"about {many(left, 'more label')}"
        if left > _left(facts):
            told = f"more labels than the {many(_left(facts), 'image')} that are left, or a larger control_share"
        yield f"An interval of ±10 points takes {told}."


def forecast_told(curve: Facts | None) -> Iterator[str]:
    """Yield what the learning curve comes to: how many labels the goal takes first."""
    if not curve:
        yield "The learning curve begins with the first look at the labels."
        return
    forecast = curve["forecast"]
    if forecast is None:
        yield f"There is no learning curve yet: {curve['waits_for']}."
        return
    yield _sentence(forecast["accuracy"]["line"].rpartition("; ")[2])
    for name in ("accuracy", "balanced_accuracy"):
        yield _sentence(forecast[name]["line"].rpartition("; ")[0])
    met = [hint["name"] for hint in curve["hints"] if hint["met"]]
    if met:
        yield f"{len(met)} of {len(curve['hints'])} signs say that more labels change little: {', '.join(met)}."


def warnings(facts: Facts, installation: Facts) -> list[Warned]:
    """Return what is wrong, the most urgent first, each with the way out."""
    found = [*_of_project(facts), *_of_installation(facts, installation), *_of_records(facts)]
    return sorted(found, key=lambda one: one.tone != "failed")  # stable


def _of_project(facts: Facts) -> Iterator[Warned]:
    if facts["set_aside"]:
        yield Warned("failed", "Label Studio says that this project was deleted.", facts["set_aside"])
        return
    if facts["paused"] == NOT_CONNECTED:
        yield Warned(
            "failed",
            "This backend is not connected to the project.",
            "In Label Studio, open the project's Settings > Model and connect it.",
        )
    elif facts["paused"]:
        yield Warned(
            "warning", f"The queue is {_as_paused(facts['paused'])}.", "Resume takes it over again.", "overview"
        )
    if facts["error"]:
        yield Warned(
            "failed", _sentence(facts["error"]), "The page Health looks at everything and names the way out.", "health"
        )
    if facts["settings_error"]:
        yield Warned("warning", _sentence(facts["settings_error"]), "The settings of before still hold.", "settings")
    if facts["rollback_error"]:
        yield Warned("warning", _sentence(facts["rollback_error"]), "Choose another order.", "orders")
    if facts["balance_field"] and facts["balance_read"] != facts["balance_field"]:
        told = f"The tasks are still to be read for their values of {facts['balance_field']!r}."
        yield Warned("warning", told, "It comes with the next complete reading; no place is shared out until then.")


def _of_installation(facts: Facts, installation: Facts) -> Iterator[Warned]:
    kinds, named = installation["workers_by_kind"], sum(installation["workers_by_kind"].values())
    if installation["workers"] == named:  # others are of the version before, and do both
        for kind, what in (("tending", "Labels wait"), ("embedding", "Images wait")):
            if not kinds.get(kind) and (kind == "tending" or facts["pending"]):
                way_out = f"Start `labelqueue serve`, or `labelqueue worker {kind}`."
                yield Warned("failed", f"{what}: no {kind} worker runs.", way_out)
    for finding in installation["redis"]:
        if finding["state"] in ("warning", "wrong"):
            tone = "failed" if finding["state"] == "wrong" else "warning"
            yield Warned(
                tone,
                f"Redis, {finding['check']}: {_sentence(finding['told'])}",
                _sentence(finding["way_out"]),
                "health",
            )
    for server, slow in installation["slow_servers"].items():
        if facts["pending"]:
            yield Warned(
                "warning",
                f"The server {server} of images is slow: {_sentence(slow['why'])}",
                "Its images are asked for again later.",
                "health",
            )


def _of_records(facts: Facts) -> Iterator[Warned]:
    if count := facts["quarantined"]:
        told = many(count, "image cannot be used.", "images cannot be used.")
        yield Warned("warning", told, "The page Health has the reasons, and a button to try again.", "health")
    if count := facts["unreadable"]["count"]:
        told = many(count, "record in Label Studio cannot be read.", "records in Label Studio cannot be read.")
        yield Warned("warning", told, f"Left out: {'; '.join(facts['unreadable']['first'])}", "health")
    if count := facts["refused_prelabels"]["count"]:
        told = many(count, "task goes", "tasks go") + " without a pre-label, which Label Studio refuses."
        yield Warned("warning", told, "; ".join(facts["refused_prelabels"]["first"]), "health")
    learning = facts["learning"] or {}
    if _teaches_nothing(learning):
        told = "The label config has no control to learn from, such as Choices on the image."
        yield Warned("warning", told, "Images are served in an order that covers all of them; no model is trained.")
    for label, count in learning.get("dropped_labels", {}).items():
        told = f"The label {label!r} of {many(count, 'task')} is not in the label config any more."
        yield Warned("warning", told, "The setting label_map says what it is called now.", "settings")
    for why, count in learning.get("without_label", {}).items():
        yield Warned(
            "warning",
            f"{many(count, 'labeled task gives', 'labeled tasks give')} no label: {why}.",
            "Correct them in Label Studio, or leave them as they are: they teach nothing.",
        )
    if missing := facts["embedder"]["without_vector"] if facts["embedder"] else 0:
        yield Warned(
            "warning",
            f"{many(missing, 'task has', 'tasks have')} no vector of your own model and come last.",
            f"`labelqueue embeddings import {facts['project']} FILE` adds them.",
        )
    for name in ("remade", "webhook"):
        if facts[name]:
            what = "What is remembered" if name == "remade" else "The webhook"
            yield Warned("warning", f"{what}: {_sentence(facts[name])}", "Nothing has to be done.")


def _teaches_nothing(learning: Facts) -> bool:
    return any(one.startswith(NO_CONTROL) for one in learning.get("waits_for") or ())


def _left(facts: Facts) -> int:
    return int(facts["tasks"] - facts["labeled"] - facts["skipped"] - facts.get("left_out", 0))


def _pace(facts: Facts, now: float) -> float:
    """Return how many images are labeled an hour, 0 where nobody is at work."""
    return float(facts["pace"]) if facts["pace"] and now - facts["last_labeled"] < AT_WORK else 0.0


def _in_about(labels: int, facts: Facts, now: float) -> str:
    pace = _pace(facts, now)
    return f", in {duration(labels / pace * 3600)} at the present pace" if pace else ""


def _as_paused(why: str) -> str:
    return why if why.startswith("paused") else f"paused: {why}"


def _sentence(text: str) -> str:
    """Return what an error says with a capital letter and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
