"""Label configs: which image, which control, which labels, how many patterns."""

import pytest

from labelqueue.exceptions import ProjectError
from labelqueue.labels.label_config import CONTROLS, parse_label_config


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


@pytest.mark.parametrize(
    ("control", "multi"),
    [
        ('<Choices name="c" toName="img"><Choice value="a"/></Choices>', False),
        ('<Choices name="c" toName="img" choice="single"><Choice value="a"/></Choices>', False),
        ('<Choices name="c" toName="img" choice="single-radio"><Choice value="a"/></Choices>', False),
        ('<Choices name="c" toName="img" choice="multiple"><Choice value="a"/></Choices>', True),
        ('<Rating name="c" toName="img"/>', False),
        ('<Taxonomy name="c" toName="img"><Choice value="a"/></Taxonomy>', True),
        ('<RectangleLabels name="c" toName="img" choice="single"><Label value="a"/></RectangleLabels>', True),
        ('<BrushLabels name="c" toName="img"><Label value="a"/></BrushLabels>', True),
    ],
)
def test_a_task_has_one_label_or_several(control, multi):
    assert parse_label_config(config(control)).multi is multi


NESTED = '<Choice value="animal"><Choice value="cat"/><Choice value="dog" alias="d"/></Choice><Choice value="stone"/>'


@pytest.mark.parametrize(
    ("control", "labels"),
    [
        ('<Choices name="c" toName="img"><Choice value="Cat" alias="cat"/><Choice value="dog"/></Choices>', "cat|dog"),
        ('<Choices name="c" toName="img"><View><Choice value="a"/></View><Choice value="a"/></Choices>', "a"),
        (f'<Choices name="c" toName="img">{NESTED}</Choices>', "animal|stone"),
        (f'<Choices name="c" toName="img" allowNested="true">{NESTED}</Choices>', "animal > cat|animal > d|stone"),
        (f'<Taxonomy name="c" toName="img">{NESTED}</Taxonomy>', "animal > cat|animal > d|stone"),
        ('<RectangleLabels name="c" toName="img"><Label value="x" alias="y"/></RectangleLabels>', "y"),
    ],
)
def test_labels_are_what_annotations_carry(control, labels):
    target = parse_label_config(config(control))
    assert "|".join(target.labels) == labels and not target.open
    assert target.nested == (" > " in labels)


@pytest.mark.parametrize(
    "control",
    [
        '<Choices name="c" toName="img" value="$choices"/>',
        '<Taxonomy name="c" toName="img" apiUrl="https://example.org/tree.json"/>',
        '<RectangleLabels name="c" toName="img" value="$labels"><Label value="a"/></RectangleLabels>',
    ],
)
def test_labels_that_stand_in_the_tasks_are_not_in_the_config(control):
    target = parse_label_config(config(control))
    assert target.labels == () and target.open


def test_a_control_of_regions_or_of_single_images_is_not_one_of_the_task():
    of_a_region = '<Choices name="part" toName="img" perRegion="true"><Choice value="a"/></Choices>'
    boxes = '<RectangleLabels name="box" toName="img"><Label value="b"/></RectangleLabels>'
    assert parse_label_config(config(of_a_region + boxes)).control_name == "box"
    with pytest.raises(ProjectError, match="'part'"):
        parse_label_config(config(of_a_region + boxes), "part")
