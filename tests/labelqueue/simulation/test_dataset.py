"""Labels and embeddings that belong together; files, halves."""

import numpy as np
import pytest

from labelqueue.block import Block
from labelqueue.exceptions import LabelQueueError
from labelqueue.simulation.dataset import Dataset, encode, half_of, locate
from labelqueue.simulation.labels_file import Row


def test_files_are_found_and_the_others_counted(tmp_path):
    for name in ("b.jpg", "a/b.png", "c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    files, others = locate([Row("c.jpg", "x"), Row("a/b.png", "y")], tmp_path)
    assert [file.path.relative_to(tmp_path).as_posix() for file in files] == ["c.jpg", "a/b.png"]
    assert others == 1
    with pytest.raises(LabelQueueError, match=r"4 of 5 files of .* are no images in .*: d\.jpg, notes\.txt, e, …"):
        locate([Row(name, "x") for name in ("c.jpg", "d.jpg", "notes.txt", "e", "f")], tmp_path)


def block(ids):
    vectors = np.array(ids, np.float16)[:, None]
    return Block(np.array(ids), np.array(ids, np.uint64), vectors, vectors, np.arange(len(ids) + 1))


def test_labels_stay_with_their_embeddings_where_images_cannot_be_read():
    rows = [Row("a", "dog", "pool"), Row("b", "cat", "pool"), Row("c", "cat", "test"), Row("d", "dog", "test")]
    dataset = Dataset.load(rows, rows, lambda files: block([0, 2, 3]))
    assert dataset.classes == ("cat", "dog") and len(dataset) == 3 and not dataset.multi
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.test.tolist() == [False, True, True]
    assert dataset.rows.embeddings[:, 0].tolist() == [0, 2, 3]
    assert [dataset.answer(row) for row in range(3)] == ["dog", "cat", "dog"]


def test_several_labels_are_presence():
    rows = [Row("a", ("dog",)), Row("b", ("cat", "dog")), Row("c", ())]
    dataset = Dataset.load(rows, rows, lambda files: block([0, 1, 2]))
    assert dataset.multi and len(dataset) == 3 and dataset.test is None
    assert dataset.labels.tolist() == [[False, True], [True, True], [False, False]]
    assert [dataset.answer(row) for row in range(3)] == [("dog",), ("cat", "dog"), ()]


def test_classes_are_sorted_by_name():
    classes, labels, test = encode([Row("1", "b"), Row("2", "a"), Row("3", "b")])
    assert (classes, labels.tolist(), test) == (("a", "b"), [1, 0, 1], None)


def test_halves_are_stable_and_about_equal():
    halves = [half_of(f"images/{number}.jpg") for number in range(1000)]
    assert 450 < sum(halves) < 550
    assert [half_of(name) for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")] == [0, 0, 0, 1]
