"""A COCO file: an image shows the categories of its annotations."""

import json

import pytest

from labelqueue.exceptions import LabelQueueError
from labelqueue.simulation.coco import read_coco

CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 0, "name": "dog"}, {"id": 9, "name": "cow"}]


def image(number, **more):
    return {"id": number, "file_name": f"images/{number}.jpg", **more}


def box(image, category, **more):
    return {"image_id": image, "category_id": category, "bbox": [0, 0, 1, 1], **more}


@pytest.fixture
def read(tmp_path):
    def read(images=(), annotations=(), categories=CATEGORIES, **more):
        path = tmp_path / "instances.json"
        tables = {"images": images, "annotations": annotations, "categories": categories} | more
        path.write_text(json.dumps(tables))
        return read_coco(path)

    return read


def test_presence_of_each_category(read):
    found = read(
        [image(1), image(2), image(5, file_name="./x/y.jpg")],
        [box(1, 3), box(1, 0), box(1, 3), box(5, 0, iscrowd=1)],
    )
    assert found.multi
    assert [(row.file, row.label, row.part) for row in found.rows] == [
        ("images/1.jpg", ("cat", "dog"), None),
        ("images/2.jpg", (), None),
        ("x/y.jpg", ("dog",), None),
    ]
    assert "2 in all; 1 images show none" in found.notes[0]
    assert "no image shows them: cow" in found.notes[1]


def test_annotations_of_images_that_are_not_listed_are_counted(read):
    found = read([image(1), image(2)], [box(1, 3), box(7, 0), box(8, 9)])
    assert [row.label for row in found.rows] == [("cat",), ()]
    assert any("2 annotations of images that the file does not list" in note for note in found.notes)


def test_a_split_with_cocos_names(read):
    found = read([image(1, split="train2017"), image(2, split="val2017"), image(3)], [box(1, 3), box(2, 0)])
    assert [row.part for row in found.rows] == ["pool", "test", "pool"]
    assert "marked split=val" in found.notes[-1]


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"annotations": None}, "it has no list 'annotations'"),
        ({"images": [image(1), image(1)]}, "the image 1, images/1.jpg, comes twice"),
        ({"images": [image(1), image(2, file_name="images/1.jpg")]}, "the image 2, images/1.jpg, comes twice"),
        ({"images": [{"id": 1}]}, "images[0] has no file_name"),
        ({"images": [image(1)], "annotations": [{"image_id": 1}]}, "annotations[0] has no category_id"),
        ({"images": [image(1)], "annotations": [box(1, 4)]}, "category_id 4, which is not among the categories"),
        ({"images": [image(1), image(2)]}, "the same labels on every image"),
        ({"images": [image(1, split="odd")]}, "split is 'odd'"),
        ({}, "no image"),
    ],
)
def test_what_is_wrong_is_said(read, tables, said):
    with pytest.raises(LabelQueueError) as caught:
        read(**tables)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"), [("[]", "no COCO file"), ("{", "cannot be read as a COCO file"), ("null", "no COCO file")]
)
def test_other_files(tmp_path, text, said):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(LabelQueueError, match=said):
        read_coco(tmp_path / "x.json")
    with pytest.raises(LabelQueueError, match="cannot be read"):
        read_coco(tmp_path / "none.json")
