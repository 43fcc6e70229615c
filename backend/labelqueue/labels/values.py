"""The one value that a task's annotations come to, or why they come to none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .annotations import Annotation, counted
from .label_config import JOINER, Path, Target

__all__ = ["Value", "Verdict", "classes_of", "judge", "unknown_labels", "value_of"]

# A class for controls that give one; else the sorted labels that are present, () when all are absent. A task without
# a label has no value (None).
Value = str | tuple[str, ...]

NOTHING = "no answer to the control that counts"
DISAGREE = "people disagree"
UNKNOWN = "a label that is not in the label config"
BARE = "a region without a label"
BRANCH = "a branch without a leaf"
OTHERS = "only regions of another control"
SEVERAL = "several labels where one is asked for"
UNREADABLE = "an answer that cannot be read"


@dataclass(frozen=True)
class Verdict:
    """What annotations come to.

    Attributes
    ----------
    value : Value or None
    why : str
        Why there is no value, for people; empty when there is one, or nobody said anything.
    """

    value: Value | None
    why: str = ""


def judge(annotations: Iterable[Annotation], target: Target) -> Verdict:
    """Return what the annotations of one task come to, and why when that is no label.

    Parameters
    ----------
    annotations : iterable of Annotation
        All of one task's, in any order.
    target : Target
        The control that counts.

    Notes
    -----
    Skips have no say, and ground truth overrides everybody else. An annotation that is not a complete answer has no
    vote: one with a label that the config does not have (any more), a region without a label, a branch of a taxonomy
    without a leaf, or a part that cannot be read says nothing of what is *absent*, and taking it for an answer would
    teach the model something that nobody said. Answers of controls that draw no regions neither teach nor prevent
    absence; where regions count, regions of another control alone are no answer.

    One class per task: every annotation with exactly one class has a vote, so submitting nothing is no vote; most votes
    win, and a tie for the first place is no label.

    Several labels per task: every complete annotation votes on every label, and submitting nothing says that all are
    absent. The majority decides label by label. If it is undecided on any label, the task has no label: people disagree
    on the task, and taking the label for absent would teach a guess as if somebody had said it.
    """
    said = [_vote(one, target) for one in counted(annotations)]
    votes = [verdict.value for verdict in said if verdict.value is not None]
    if not votes:
        return Verdict(None, next((verdict.why for verdict in said if verdict.why), ""))
    if target.multi:
        present = Counter(label for vote in votes for label in vote)
        if any(2 * count == len(votes) for count in present.values()):
            return Verdict(None, DISAGREE)
        return Verdict(tuple(sorted(label for label, count in present.items() if 2 * count > len(votes))))
    first = Counter(votes).most_common(2)
    return Verdict(None, DISAGREE) if len(first) == 2 and first[0][1] == first[1][1] else Verdict(first[0][0])


def value_of(annotations: Iterable[Annotation], target: Target) -> Value | None:
    """Return what the annotations of one task come to, or None when that is no label; see `judge`."""
    return judge(annotations, target).value


def unknown_labels(annotations: Iterable[Annotation], target: Target) -> set[str]:
    """Return the labels that annotations give the target's control and the label config does not have (any more)."""
    given = {
        path
        for one in counted(annotations)
        if target.control_name in one.answers
        for path in one.answers[target.control_name].paths
    }
    return {JOINER.join(path) for path in given if target.label_of(path) is None and not target.is_branch(path)}


def classes_of(target: Target, values: Iterable[Value]) -> tuple[str, ...]:
    """Return the target's labels in the order of the config, or, where it leaves them open, those seen, sorted."""
    if not target.open:
        return target.labels
    return tuple(sorted({label for value in values for label in ((value,) if isinstance(value, str) else value)}))


def _vote(annotation: Annotation, target: Target) -> Verdict:
    """Return what one annotation says, or why it has no vote."""
    if target.kind == "none":
        return Verdict(None)
    if annotation.unreadable:
        return Verdict(None, UNREADABLE)
    mine = annotation.answers.get(target.control_name)
    paths = mine.paths if mine else ()
    known = {path: target.label_of(path) for path in paths}
    for path in paths:
        if known[path] is None and not target.is_branch(path):
            return Verdict(None, UNKNOWN)
    if any(known[path] is None and not _covered(path, known) for path in paths):
        return Verdict(None, BRANCH)
    labels = sorted({label for label in known.values() if label is not None})
    if not target.multi:
        if len(labels) == 1:
            return Verdict(labels[0])
        return Verdict(None, SEVERAL if labels else NOTHING)
    if target.regions:
        shapes = [annotation.answers[name] for name in target.shapes if name in annotation.answers]
        if any(answer.bare for answer in (mine, *shapes) if answer is not None):
            return Verdict(None, BARE)
        drawn = {name for name, answer in annotation.answers.items() if answer.drawn}
        if not labels and drawn - {target.control_name, *target.shapes}:
            return Verdict(None, OTHERS)
    return Verdict(tuple(labels))


def _covered(branch: Path, known: Mapping[Path, str | None]) -> bool:
    """Tell whether a leaf below a branch was chosen too."""
    return any(label is not None and path[: len(branch)] == branch for path, label in known.items())
