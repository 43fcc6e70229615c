"""Label configs: which image, which control, which labels, how many patterns."""

import json
import re
from pathlib import Path

import pytest
import yaml

from labelqueue.exceptions import ProjectError
from labelqueue.labels.label_config import CONTROLS, parse_label_config
from labelqueue.labels.task_data import image_uri

ROOT = Path(__file__).parents[3]


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


# -- as Label Studio reads it


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (
            '<view><image name="i" value="$image"/><choices NAME="c" toname="i"><choice VALUE="a"/>'
            '<CHOICE value="b" Alias="B"/></choices></view>',
            ("a", "B"),
        ),
        (config('<rating name="r" toname="img" maxrating="3"/>'), ("1", "2", "3")),
        (config('<Rating name="r" toName="img" maxRating="10.0"/>').replace("10.0", "2.0"), ("1", "2")),
        (config('<Rating name="r" toName="img" maxRating="many"/>'), ("1", "2", "3", "4", "5")),
        (config('<Rating name="r" toName="img" maxRating="-1"/>'), ("1", "2", "3", "4", "5")),
        (
            config('<Choices name="c" toName="img" allownested="TRUE"><Choice value="a"/></Choices>'),
            ("a",),
        ),
    ],
)
def test_tags_and_attributes_are_read_without_case(text, labels):
    assert parse_label_config(text).labels == labels


def test_a_per_region_control_in_lower_case_is_none_of_the_task():
    boxes = '<RectangleLabels name="b" toName="img"><Label value="car"/></RectangleLabels>'
    part = '<Choices name="c" toName="img" perregion="true"><Choice value="red"/></Choices>'
    assert parse_label_config(config(part + boxes)).control_name == "b"


@pytest.mark.parametrize(
    ("shapes", "kind"),
    [
        (["Rectangle"], "detection"),
        (["Ellipse"], "detection"),
        (["KeyPoint"], "detection"),
        (["Vector"], "detection"),
        (["Polygon"], "segmentation"),
        (["Brush"], "segmentation"),
        (["Rectangle", "Polygon"], "segmentation"),
    ],
)
def test_labels_beside_shapes(shapes, kind):
    labels = '<Labels name="c" toName="img"><Label value="word"/></Labels>'
    target = parse_label_config(config(labels + "".join(f'<{tag} name="{tag}" toName="img"/>' for tag in shapes)))
    assert (target.kind, target.labels, target.multi, target.shapes) == (kind, ("word",), True, tuple(shapes))


def test_labels_of_a_text_are_no_target():
    text = '<Text name="t" value="$text"/><Labels name="c" toName="t"><Label value="word"/></Labels>'
    assert parse_label_config(config(text)).kind == "none"


@pytest.mark.parametrize(("tag", "kind"), [("BitmaskLabels", "segmentation"), ("VectorLabels", "detection")])
def test_newer_controls(tag, kind):
    assert parse_label_config(config(f'<{tag} name="c" toName="img"><Label value="a"/></{tag}>')).kind == kind


@pytest.mark.parametrize(
    "controls",
    [
        "",
        '<TextArea name="t" toName="img"/>',
        '<Rectangle name="r" toName="img"/>',
        '<Choices name="c" toName="img" perRegion="true"><Choice value="a"/></Choices>',
    ],
)
def test_an_image_without_a_control_that_teaches_is_ordered_all_the_same(controls):
    target = parse_label_config(config(controls))
    assert (target.kind, target.n_patterns, target.labels, target.open, target.image_field) == (
        "none",
        1,
        (),
        False,
        "photo",
    )


@pytest.mark.parametrize(
    ("image", "field"),
    [
        ('<Image name="img" value="$photo"/>', "photo"),
        ('<Image name="img" value=" $photo "/>', "photo"),
        ('<Image name="img" value="$meta.image"/>', "meta.image"),
        ('<Image name="img" value="$images[0]"/>', "images[0]"),
        ('<Image name="img" valueList="$images"/>', "images"),
        ('<Image name="img" value="https://cdn.example/$file"/>', "https://cdn.example/$file"),
        (
            '<Repeater on="$images" indexFlag="{{i}}"><Image name="img" value="$images[{{i}}].url"/></Repeater>',
            "images[0].url",
        ),
        ('<Image name="img" value="$photo"/><Image name="other" value="$second"/>', "photo"),
    ],
)
def test_where_the_image_stands(image, field):
    assert (
        parse_label_config(config('<Choices name="c" toName="img"><Choice value="a"/></Choices>', image)).image_field
        == field
    )


def test_a_repeaters_first_image_counts():
    text = (
        '<View><Repeater on="$pages"><Image name="page_{{idx}}" value="$pages[{{idx}}]"/>'
        '<RectangleLabels name="labels_{{idx}}" toName="page_{{idx}}"><Label value="a"/></RectangleLabels>'
        "</Repeater></View>"
    )
    target = parse_label_config(text)
    assert (target.image_field, target.image_name, target.control_name) == ("pages[0]", "page_0", "labels_0")


# -- bounds, and names that are told apart


@pytest.mark.parametrize(
    ("control", "word"),
    [
        ('<Rating name="r" toName="img" maxRating="1000000000"/>', "1,000 stars"),
        ('<Rating name="r" toName="img" maxRating="1e300"/>', "1,000 stars"),
        (
            '<Taxonomy name="c" toName="img">'
            + "".join(f'<Choice value="{n}"/>' for n in range(20_001))
            + "</Taxonomy>",
            "20,000 labels",
        ),
        ("<View>" * 200 + "</View>" * 200, "100 deep"),
        (
            '<Taxonomy name="c" toName="img">' + '<Choice value="a">' * 200 + "</Choice>" * 200 + "</Taxonomy>",
            "100 deep",
        ),
    ],
)
def test_a_config_that_asks_for_too_much_is_refused(control, word):
    with pytest.raises(ProjectError, match=word):
        parse_label_config(config(control))


def test_paths_are_kept_beside_the_names_that_people_see():
    tree = '<Choice value="BMI &gt; 30"/><Choice value="BMI"><Choice value="30"/></Choice>'
    target = parse_label_config(config(f'<Taxonomy name="c" toName="img">{tree}</Taxonomy>'))
    assert target.paths == (("BMI > 30",), ("BMI", "30"))
    assert len(set(target.labels)) == 2
    assert [target.path_of(label) for label in target.labels] == list(target.paths)
    assert [target.label_of(path) for path in target.paths] == list(target.labels)


FAULTS = Path(__file__).parents[4] / "shared" / "faults" / "label_configs.json"
RECORDED = json.loads(FAULTS.read_text()) if FAULTS.exists() else []


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["name"])
def test_cases_that_went_wrong_once(case):
    expect = case["expect"]
    if "error" in expect:
        with pytest.raises(ProjectError):
            parse_label_config(case["config"])
        return
    target = parse_label_config(case["config"])
    found = {
        "kind": target.kind,
        "labels": list(target.labels),
        "multi": target.multi,
        "field": target.image_field,
        "control": target.control_name,
        "labels_count": len(target.labels),
    }
    assert {key: value for key, value in expect.items() if key in found} == {
        key: found[key] for key in expect if key in found
    }
    if "uri" in expect:
        assert image_uri(case["data"], target.image_field) == expect["uri"]


def templates():
    """Every label config that the installed Label Studio ships, by its title."""
    found = ROOT.glob(".venv-labelstudio/lib/python*/site-packages/label_studio/annotation_templates/**/config.*")
    texts = {}
    for path in sorted(found):
        text = path.read_text(encoding="utf-8")
        texts[path.parent.name] = yaml.safe_load(text)["config"] if path.suffix in (".yml", ".yaml") else text
    return texts


@pytest.mark.e2e
def test_every_template_with_an_image_is_ordered():
    shown = {name: text for name, text in templates().items() if re.search(r"<image\b", text, re.I)}
    assert len(shown) > 10, "the templates have moved"
    kinds = {name: parse_label_config(text).kind for name, text in shown.items()}
    assert {"classification", "detection", "segmentation", "none"} == set(kinds.values()), kinds
