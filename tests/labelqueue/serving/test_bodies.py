"""The door for bodies: what JSON is, is read as the standard library reads it; everything else says why not."""

import json
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.serving.bodies import parsed_object

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=30)
OBJECTS = st.dictionaries(TEXT, VALUES)


@given(OBJECTS, st.sampled_from([None, 1, "\t"]), st.booleans(), st.sampled_from(["utf-8", "utf-8-sig"]))
def test_objects_are_read_as_they_were_written(body, indent, ascii_only, encoding):
    content = f" \r\n{json.dumps(body, indent=indent, ensure_ascii=ascii_only)}\n"
    assert parsed_object(content.encode(encoding)) == body


@given(OBJECTS, st.sets(TEXT))
def test_what_is_not_wanted_is_read_and_dropped(body, keep):
    content = json.dumps(body).encode()
    wanted = keep | set(list(body)[:1])
    assert parsed_object(content, keep=wanted) == {name: value for name, value in body.items() if name in wanted}


@given(OBJECTS, st.data())
def test_damaged_bodies_are_read_as_the_standard_library_reads_them_or_refused(body, data):
    content = bytearray(json.dumps(body).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        if not content:
            break
    try:
        found = parsed_object(bytes(content), stored=False)
    except ValueError:
        return
    assert json.dumps(found) == json.dumps(json.loads(content))


@given(st.binary(max_size=200) | st.text('{}[]":, \\ud8001e-.ntfI', max_size=60).map(str.encode))
def test_anything_else_is_a_value_error(content):
    try:
        assert isinstance(parsed_object(content), dict)
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "expected a JSON object"),
        (b"  ", "expected a JSON object"),
        (b"[{}]", "expected a JSON object"),
        (b"[" * 100_000, "expected a JSON object"),
        (b'{"a": ' * 100_000, "levels"),
        (b'{"a": ' + b"[" * 100_000, "levels"),
        (b'{"a": ' + b"[" * 150 + b"]" * 150 + b"}", "levels"),
        (b'{"a": NaN}', "NaN is no JSON"),
        (b'{"a": [1, -Infinity]}', "-Infinity is no JSON"),
        (b'{"a": %s}' % (b"1" * 5000), "a number has thousands of digits"),
        (b'{"a": "\\ud800"}', "half a character"),
        (b'{"a": [{"\\uDEAD": 1}]}', "half a character"),
        (b'{"a": "\xed\xa0\x80"}', "can't decode"),
        (b'{"a": 1} {"b": 2}', "more follows"),
        (b'{"a": 1,}', "property|Expecting|name"),
        (b'{"a" 1}', "a colon is expected"),
        (b'{"a": 1 "b"}', "a comma"),
        (b'{"a": [1 2]}', "a comma"),
        (b'{1: 2}', "a name is expected"),
        (b'{"a": [1,', "Expecting value"),
        (b'{"a": "x\ny"}', "control character"),
        ('{"a": 1}'.encode("utf-16"), "can't decode"),
    ],
)  # fmt: skip
def test_an_error_says_what_is_wrong(content, word):
    with pytest.raises(ValueError, match=word):
        parsed_object(content)


def test_depth_is_counted_whatever_stands_in_the_way():
    wide = {"wide": [[0]] * 10_000, "deep": [{"[": "]"}] * 300}
    assert parsed_object(json.dumps(wide).encode()) == wide


def test_half_characters_may_stand_in_what_is_not_stored():
    assert parsed_object(b'{"a": "\\ud800"}', stored=False) == {"a": "\ud800"}
    assert parsed_object(b'{"a": "\\ud83d\\ude00", "b": "\\ud800"}', keep={"a"}) == {"a": "\N{GRINNING FACE}"}


def test_a_long_list_lets_other_threads_run():
    tasks = [{"id": n, "data": {"image": f"http://images.test/{n}.jpg", "note": "x" * 400}} for n in range(40_000)]
    content, done = json.dumps({"tasks": tasks}).encode(), threading.Event()
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    thread = threading.Thread(target=lambda: (parsed_object(content, keep=()), done.set()))
    try:
        thread.start()
        turns = 0
        while not done.is_set():
            time.sleep(0.001)
            turns += 1
    finally:
        sys.setswitchinterval(before)
        thread.join()
    assert turns > 10, "it was read in one go"
