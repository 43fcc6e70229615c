"""Version strings: ours are told from everybody else's, and no tag is used twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.publishing.versions import LETTERS, highest_number, new_tag, number_of, tag_of, version_string

OTHERS = [
    "", "r9", "r99x", "resnet", "labelqueue", "labelqueue live", "r12 mine", "R1 FreeSel",
    "r1 FreeSel 2", " r1 FreeSel", "r1  FreeSel", "r1 BAL cycle", "r1 BAL cycle x", "r1·k7f", "r1·k7f ",
    "r1·k7 FreeSel", "r1·K7F FreeSel", "r1-k7f FreeSel", "r·k7f FreeSel", "r9999999999 FreeSel",
    "r1·k7f FreeSel\nmore", "xr1·k7f FreeSel",
]  # fmt: skip


def test_a_version_says_number_tag_and_title():
    assert version_string(12, "k7f", "BAL cycle 3") == "r12·k7f BAL cycle 3"


@given(
    st.integers(1, 10**9 - 1),
    st.text(LETTERS, min_size=3, max_size=3),
    st.sampled_from(["BAL cycle 3", "back to r9", "ThirdParty", "x"]),
)
def test_ours_are_read_back(number, tag, title):
    version = version_string(number, tag, title)
    assert (number_of(version), tag_of(version)) == (number, tag)


THEN = (
    "BAL cycle 12", "Entropy", "FoundationClustering", "FreeSel", "KCenterGreedy", "LeastConfidence", "Margin",
    "Random", "TypiClust",
)  # fmt: skip


@pytest.mark.parametrize("title", THEN)
def test_those_of_0_1_0_are_ours(title):
    assert (number_of(f"r12 {title}"), tag_of(f"r12 {title}")) == (12, "")


@pytest.mark.parametrize("version", OTHERS)
def test_any_other_is_somebody_elses(version):
    assert number_of(version) is None and tag_of(version) == ""


def test_the_highest_number_is_that_of_ours():
    assert highest_number([*OTHERS, "r2026 resnet", "r7·abc FreeSel", "r11 Random"]) == 11
    assert highest_number(OTHERS) == 0


def test_a_tag_that_was_used_is_not_used_again():
    letters = iter("aaaaabaac")
    assert new_tag({"aaa", "aab"}, lambda _: next(letters)) == "aac"
    assert number_of(version_string(1, new_tag(set()), "FreeSel")) == 1
