"""Where a task's data holds its image."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.labels.task_data import field_value, image_uri

DATA = {
    "image": "/a.jpg",
    "meta": {"image": "/b.jpg", "list": [{"url": "/c.jpg"}]},
    "images": ["/d.jpg", "/e.jpg"],
    "objects": [{"url": "/f.jpg"}],
    "a.b": "/g.jpg",
    "file": "a b.jpg",
    "number": 7,
}


@pytest.mark.parametrize(
    ("field", "uri"),
    [
        ("image", "/a.jpg"),
        ("meta.image", "/b.jpg"),
        ("meta.list[0].url", "/c.jpg"),
        ("images", "/d.jpg"),
        ("images[1]", "/e.jpg"),
        ("images[9]", ""),
        ("objects", "/f.jpg"),
        ("objects[0]", "/f.jpg"),
        ("a.b", "/g.jpg"),
        ("missing", ""),
        ("meta.missing", ""),
        ("number", ""),
        ("https://cdn.example/$file", "https://cdn.example/a b.jpg"),
        ("https://cdn.example/$number.jpg", "https://cdn.example/7.jpg"),
        ("https://cdn.example/$missing.jpg", ""),
        ("https://$file/$image", "https://a b.jpg//a.jpg"),
    ],
)
def test_the_address_of_an_image(field, uri):
    assert image_uri(DATA, field) == uri


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"meta": {"site": "A"}}, "A"),
        ({"meta.site": "B", "meta": {"site": "A"}}, "B"),
        ({"meta": {"site": 7}}, "7"),
        ({"meta": {"site": 7.5}}, "7.5"),
        ({"meta": {"site": True}}, "true"),
        ({"meta": {"site": ["é", {"b": 1, "a": None}]}}, '["é", {"a": null, "b": 1}]'),
        ({"meta": {"site": "x" * 101}}, "x" * 100),
        ({"meta": {"site": None}}, "(none)"),
        ({"meta": {"site": ""}}, "(none)"),
        ({"meta": {}}, "(none)"),
        ("no object", "(none)"),
        (None, "(none)"),
    ],
)
def test_the_value_of_a_field_is_a_text(data, text):
    assert field_value(data, "meta.site") == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "url"]), inner, max_size=3),
)


@given(JSON, st.sampled_from(["a", "a.b", "a[0]", "a[0].url", "x/$a.b", "$a$b"]))
def test_any_data_gives_a_text(data, field):
    assert isinstance(image_uri(data, field), str)
    assert 0 < len(field_value(data, field)) <= 100
