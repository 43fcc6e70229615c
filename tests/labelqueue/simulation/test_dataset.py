"""The CSV of a simulation and what is made of it: rows, files, halves, pools and test sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.block import Block
from labelqueue.exceptions import LabelQueueError
from labelqueue.simulation.dataset import Dataset, Row, check_classes, encode, half_of, locate, read_rows, split


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "labels.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_rows(path)

    return read


def test_rows_of_a_csv(read):
    assert read('file,label\na.jpg,cat\n./b/c.jpg, dog \n"d,e.jpg",cat\n') == [
        Row("a.jpg", "cat", None),
        Row("b/c.jpg", "dog", None),
        Row("d,e.jpg", "cat", None),
    ]


def test_columns_in_any_order_with_others_beside_them_and_a_byte_order_mark(read):
    rows = read(b"\xef\xbb\xbfid,label,split,file\r\n1,cat,train,a.jpg\r\n2,dog,,b.jpg\r\n3,cat,Test,c.jpg\r\n")
    assert [(row.file, row.test) for row in rows] == [("a.jpg", False), ("b.jpg", False), ("c.jpg", True)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'file'"),
        ("path,label\na,b\n", "no column 'file'; its first line is 'path,label'"),
        ("file;label\na;b\n", "no column 'file'; its first line is 'file;label'"),
        ("file,class\na,b\n", "no column 'label'"),
        ("file,label\na.jpg,cat\nb.jpg,\n", "line 3: no label"),
        ("file,label\n,cat\n", "line 2: no file"),
        ("file,label\na.jpg\n", "line 2: no label"),
        ("file,label\na,b.jpg,cat\n", "line 2: more values than columns"),
        ("file,label\na.jpg,cat\nb.jpg,dog\n./a.jpg,dog\n", "line 4: a.jpg is in line 2 already"),
        ("file,label\na.jpg,cat\nb.jpg,cat\n", "only the class 'cat'; at least two"),
        ("file,label\n", "no image; at least two"),
        ("file,label,split\na,cat,test\nb,dog,train\n", "only the class 'dog'"),
        ("file,label,split\na,cat,train\nb,dog,train\n", "no row says 'test'"),
        (b"file,label\n\xff\xfe.jpg,cat\n", "cannot be read as a CSV"),
    ],
)
def test_what_is_wrong_with_a_csv_is_said(read, text, said):
    with pytest.raises(LabelQueueError, match=said.replace(".", r"\.")):
        read(text)


def test_a_csv_that_is_not_there(tmp_path):
    with pytest.raises(LabelQueueError, match=r"none\.csv cannot be read"):
        read_rows(tmp_path / "none.csv")


def test_files_are_found_and_the_others_counted(tmp_path):
    for name in ("b.jpg", "a/b.png", "c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    files, others = locate([Row("c.jpg", "x", None), Row("a/b.png", "y", None)], tmp_path)
    assert [file.path.relative_to(tmp_path).as_posix() for file in files] == ["c.jpg", "a/b.png"]
    assert others == 1
    with pytest.raises(LabelQueueError, match=r"4 of 5 files of the CSV are no images in .*: d\.jpg, notes\.txt, e, …"):
        locate([Row(name, "x", None) for name in ("c.jpg", "d.jpg", "notes.txt", "e", "f")], tmp_path)


def block(ids):
    vectors = np.array(ids, np.float16)[:, None]
    return Block(np.array(ids), np.array(ids, np.uint64), vectors, vectors, np.arange(len(ids) + 1))


def test_labels_stay_with_their_embeddings_where_images_cannot_be_read():
    rows = [Row("a", "dog", False), Row("b", "cat", False), Row("c", "cat", True), Row("d", "dog", True)]
    dataset = Dataset.load(rows, rows, lambda files: block([0, 2, 3]))
    assert dataset.classes == ("cat", "dog") and len(dataset) == 3
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.test.tolist() == [False, True, True]
    assert dataset.rows.embeddings[:, 0].tolist() == [0, 2, 3]
    with pytest.raises(LabelQueueError, match="only the class 'dog'"):
        check_classes([rows[place] for place in dataset.rows.ids.tolist()], "x")


def test_classes_are_sorted_by_name():
    classes, labels, test = encode([Row("1", "b", None), Row("2", "a", None), Row("3", "b", None)])
    assert (classes, labels.tolist(), test) == (("a", "b"), [1, 0, 1], None)


def test_halves_are_stable_and_about_equal():
    halves = [half_of(f"images/{number}.jpg") for number in range(1000)]
    assert 450 < sum(halves) < 550
    assert [half_of(name) for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")] == [0, 0, 0, 1]


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=60), st.integers(-5, 5), st.sampled_from([1.0, 0.5]), st.booleans()
)
def test_no_image_is_in_pool_and_test_set(labels, seed, imbalance, marked):
    labels = np.array(labels)
    test = np.arange(labels.size) % 3 == 0 if marked else None
    found = split(labels, test, seed=seed, imbalance=imbalance)
    pool, held = found.pool.tolist(), found.test.tolist()
    assert pool == sorted(set(pool)) and held == sorted(set(held)) and not set(pool) & set(held)
    if marked:
        assert held == np.flatnonzero(test).tolist()
    if imbalance == 1:
        assert sorted(pool + held) == list(range(labels.size))
    again = split(labels, test, seed=seed, imbalance=imbalance)
    assert again.pool.tolist() == pool and again.test.tolist() == held


def test_a_fifth_of_each_class_is_held_out():
    labels = np.repeat([0, 1, 2, 3], [50, 10, 2, 1])
    found = split(labels, None, seed=0)
    assert np.bincount(labels[found.test], minlength=4).tolist() == [10, 2, 1, 0]
    assert np.bincount(labels[found.pool], minlength=4).tolist() == [40, 8, 1, 1]
    assert split(labels, None, seed=1).test.tolist() != found.test.tolist()


def test_imbalance_thins_the_pool_and_not_the_test_set():
    labels = np.repeat([0, 1, 2, 3], 100)
    test = np.arange(400) % 2 == 0
    found = split(labels, test, seed=0, imbalance=0.5)
    assert np.bincount(labels[found.pool]).tolist() == [50, 25, 12, 6]
    assert np.bincount(labels[found.test]).tolist() == [50, 50, 50, 50]
    rare = split(labels, test, seed=0, imbalance=0.01)
    assert np.bincount(labels[rare.pool]).tolist() == [50, 1, 1, 1]
