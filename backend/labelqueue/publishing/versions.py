"""Version strings of orders: what tells our predictions in Label Studio from everybody else's.

``r12·k7f BAL cycle 3`` is the twelfth order, with the tag of what is stored here and the order's title. When what is
stored is lost, or is older than Label Studio's predictions, there is another tag: no string is ever published twice.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence

__all__ = ["highest_number", "new_tag", "number_of", "tag_of", "version_string"]

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that people take for another
TAG = 3  # letters
# Version 0.1.0 had no tags: there the title has to prove whose it is.
TITLES = (
    "FreeSel|FoundationClustering|TypiClust|KCenterGreedy|Margin|LeastConfidence|Entropy|Random|BAL(?: cycle \\d+)?"
)
_OURS = re.compile(rf"r(\d{{1,9}})(?:\N{{MIDDLE DOT}}([0-9a-z]{{{TAG}}}) \S.*| (?:{TITLES}))")


def version_string(number: int, tag: str, title: str) -> str:
    """Return what the predictions of an order carry as `model_version`."""
    return f"r{number}\N{MIDDLE DOT}{tag} {title}"


def number_of(version: str) -> int | None:
    """Return the number in a version string of ours, that of 0.1.0 (``r12 FreeSel``) included; None for any other."""
    found = _OURS.fullmatch(version)
    return int(found[1]) if found else None


def tag_of(version: str) -> str:
    """Return the tag in a version string of ours; empty without one."""
    found = _OURS.fullmatch(version)
    return (found[2] or "") if found else ""


def highest_number(versions: Iterable[str]) -> int:
    """Return the highest number among those version strings that are ours, 0 without any."""
    return max((number for version in versions if (number := number_of(version)) is not None), default=0)


def new_tag(taken: Collection[str], choose: Callable[[Sequence[str]], str] = secrets.choice) -> str:
    """Return a tag that is not taken.

    Parameters
    ----------
    taken : collection of str
        Tags that were used before.
    choose : callable
        Returns one letter of those that it is given.
    """
    while (tag := "".join(choose(LETTERS) for _ in range(TAG))) in taken:
        pass
    return tag
