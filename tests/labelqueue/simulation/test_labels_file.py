"""The CSV of a simulation: one class per image, several labels in a cell, a column per label, and its split."""

import pytest

from labelqueue.exceptions import LabelQueueError
from labelqueue.simulation.labels_file import Row, check_classes, listed, part_of, read_csv


@pytest.fixture
def read(tmp_path):
    def read(text, separator=None):
        path = tmp_path / "labels.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_csv(path, separator)

    return read


def test_rows_of_a_csv(read):
    found = read('file,label\na.jpg,cat\n./b/c.jpg, dog \n"d,e.jpg",cat\n')
    assert found.rows == [Row("a.jpg", "cat"), Row("b/c.jpg", "dog"), Row("d,e.jpg", "cat")]
    assert not found.multi and found.notes == ()


def test_columns_in_any_order_with_others_beside_them_and_a_byte_order_mark(read):
    rows = read(b"\xef\xbb\xbfid,label,split,file\r\n1,cat,train,a.jpg\r\n2,dog,,b.jpg\r\n3,cat,Test,c.jpg\r\n").rows
    assert [(row.file, row.part) for row in rows] == [("a.jpg", "pool"), ("b.jpg", "pool"), ("c.jpg", "test")]


# -- several labels


def test_a_bar_in_a_cell_means_several_labels_and_is_never_part_of_a_class(read):
    found = read("file,label\na,cat|dog\nb,dog\nc,\nd, dog | cat|dog |\n")
    assert found.multi
    assert [row.label for row in found.rows] == [("cat", "dog"), ("dog",), (), ("cat", "dog")]
    (note,) = found.notes
    assert "several labels for an image" in note and "cat, dog" in note and "--separator none" in note


def test_the_way_out_for_names_with_a_bar(read):
    found = read("file,label\na,cat|dog\nb,dog\n", "")
    assert not found.multi and found.notes == ()
    assert [row.label for row in found.rows] == ["cat|dog", "dog"]


def test_another_separator_is_believed(read):
    found = read("file,label\na,cat; dog\nb,dog\nc,\n", ";")
    assert [row.label for row in found.rows] == [("cat", "dog"), ("dog",), ()]
    assert "though none has '|'" in read("file,label\na,cat\nb,dog\nc,\n", "|").notes[0]


def test_a_column_for_each_label_where_there_is_no_column_label(read):
    found = read("file,id,cat,dog,cow,split\na,10,1,0,0,train\nb,11,true,1.0,False,test\nc,12,0,0,0,\n")
    assert found.multi
    assert [row.label for row in found.rows] == [("cat",), ("cat", "dog"), ()]
    assert [row.part for row in found.rows] == ["pool", "test", "pool"]
    several, others, never = found.notes
    assert "a column for each: cat, dog" in several and "other values than 1 and 0: id" in others
    assert "no image shows them: cow" in never


def test_a_single_column_is_a_label_that_holds_or_not(read):
    assert [row.label for row in read("file,defect\na,1\nb,0\n").rows] == [("defect",), ()]


@pytest.mark.parametrize("cell", ["2", "", "-1", "x"])
def test_a_label_column_with_something_else_in_it_is_not_left_out_in_silence(read, cell):
    with pytest.raises(LabelQueueError, match=r"line 4: '.*' in the column 'dog'; a column per label holds 1 or 0"):
        read(f"file,cat,dog\na,1,0\nb,0,1\nc,1,{cell}\n")


def test_a_column_label_comes_before_columns_of_flags(read):
    assert [row.label for row in read("file,label,blurred\na,cat,1\nb,dog,0\n").rows] == ["cat", "dog"]


# -- split


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("train", "pool"), ("", "pool"), (" TRAIN ", "pool"), ("train2017", "pool"), ("val", "val"), ("val2017", "val"),
        ("validation", "val"), ("dev", "val"), ("test", "test"), ("test-2015", "test"), ("Testing", "test"),
    ],
)  # fmt: skip
def test_what_a_split_is_called(text, part):
    assert part_of(text, "here") == part


def test_an_unknown_split_lists_what_there_is(read):
    with pytest.raises(LabelQueueError, match=r"line 3: split is 'holdout'; known are train, .*val, .*test"):
        read("file,label,split\na,cat,train\nb,dog,holdout\n")


def test_images_marked_val_are_left_out_beside_a_test_set_and_counted(read):
    found = read("file,label,split\na,cat,train\nb,dog,test\nc,dog,val\nd,dog,train\n")
    assert [row.file for row in found.rows] == ["a", "b", "d"]
    (note,) = found.notes
    assert "1 image of" in note and "split=val" in note and "left out" in note


def test_without_a_test_set_the_images_marked_val_are_it(read):
    found = read("file,label,split\na,cat,train\nb,dog,train\nc,dog,val\nd,dog,val\n")
    assert [row.part for row in found.rows] == ["pool", "pool", "test", "test"]
    assert "the 2 images marked split=val count as it" in found.notes[0]


# -- what cannot be


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'file'"),
        ("path,label\na,b\n", "no column 'file'; its first line is 'path,label'"),
        ("file;label\na;b\n", "no column 'file'; its first line is 'file;label'"),
        ("file,class\na,b\n", "no column 'label'"),
        ("file,label\na.jpg,cat\nb.jpg,\n", "line 3: no label; give every image a label, or say --separator '|'"),
        ("file,label\n,cat\n", "line 2: no file"),
        ("file,label\na.jpg\n", "line 2: no label"),
        ("file,label\na,b.jpg,cat\n", "line 2: more values than columns"),
        ("file,label,label\na,cat,dog\n", "has the column 'label' twice"),
        ("file,label\na.jpg,cat\nb.jpg,dog\n./a.jpg,dog\n", "line 4: a.jpg is in line 2 already"),
        ("file,label\na.jpg,cat\nb.jpg,cat\n", "only the class 'cat'; at least two"),
        ("file,label\na,cat|dog\nb,dog|cat\n", "the same labels on every image"),
        ("file,cat\na,1\nb,1\n", "the same labels on every image"),
        ("file,label\n", "no image; at least two"),
        (b"file,label\n\xff\xfe.jpg,cat\n", "cannot be read as a CSV"),
    ],
)
def test_what_is_wrong_with_a_csv_is_said(read, text, said):
    with pytest.raises(LabelQueueError) as caught:
        read(text)
    assert said in str(caught.value)


def test_a_separator_needs_a_column_to_divide(read):
    with pytest.raises(LabelQueueError, match="no column 'label' whose cells --separator could divide"):
        read("file,cat\na,1\nb,0\n", ";")


def test_a_csv_that_is_not_there(tmp_path):
    with pytest.raises(LabelQueueError, match=r"none\.csv cannot be read"):
        read_csv(tmp_path / "none.csv")


def test_rows_of_which_nothing_can_be_learned():
    with pytest.raises(LabelQueueError, match="the rest has only the class 'dog'"):
        check_classes([Row("a", "dog"), Row("b", "dog")], "the rest")


def test_names_for_people():
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(number) for number in range(11)]) == "0, 1, 2, 3, 4, 5, 6, 7 and 3 more"


def test_a_line_that_is_said_again_counts_once_and_is_named(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file,label\na.jpg,cat\nb.jpg,dog\na.jpg,cat\na.jpg,cat\n")
    found = read_csv(path)
    assert [row.file for row in found.rows] == ["a.jpg", "b.jpg"]
    assert found.notes == ("note: 2 lines say the same as one before, such as line 4; it counts once",)
