"""Label configs: which image, which control, which labels, how many patterns."""

import pytest

from labelqueue.exceptions import ProjectError
from labelqueue.labelconfig import CONTROLS, parse_label_config


def config(control: str, image: str = '<Image name="img" value="$photo"/>') -> str:
    return f"<View>{image}{control}</View>"


@pytest.mark.parametrize(("tag", "patterns"), [("Choices", 1), ("RectangleLabels", 5), ("BrushLabels", 10)])
def test_kind_decides_the_number_of_patterns(tag, patterns):
    child = CONTROLS[tag][1]
    target = parse_label_config(
        config(f'<{tag} name="c" toName="img"><{child} value="a"/><{child} value="b"/></{tag}>')
    )
    assert (target.image_field, target.control_name, target.n_patterns) == ("photo", "c", patterns)
    assert target.labels == ("a", "b")


def test_rating_has_its_stars_as_labels():
    assert parse_label_config(config('<Rating name="r" toName="img" maxRating="3"/>')).labels == ("1", "2", "3")


def test_target_names_one_of_several_controls():
    two = config(
        '<Choices name="first" toName="img"><Choice value="a"/></Choices>'
        '<RectangleLabels name="second" toName="img"><Label value="b"/></RectangleLabels>'
    )
    assert parse_label_config(two).control_name == "first"
    assert parse_label_config(two, "second").kind == "detection"
    with pytest.raises(ProjectError, match="'third'"):
        parse_label_config(two, "third")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("<View", "not XML"),
        ('<View><Text name="t" value="$t"/></View>', "no <Image>"),
        (config('<TextArea name="t" toName="img"/>'), "control of Choices"),
        (config('<Choices name="c" toName="img"/>', '<Image name="img"/>'), "no value"),
    ],
)
def test_configs_we_cannot_order_are_refused(text, word):
    with pytest.raises(ProjectError, match=word):
        parse_label_config(text)
