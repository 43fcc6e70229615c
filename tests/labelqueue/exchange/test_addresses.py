"""Which tasks a row is for, by id, whole address, or the end of it; what is not sure is said."""

import pytest

from labelqueue.exchange.addresses import Addresses, shown_address
from labelqueue.state import TaskRow

URIS = {
    1: "https://images.example.com/cats/1.jpg?X-Amz-Signature=secret",
    2: "https://images.example.com/dogs/1.jpg",
    3: "s3://bucket/birds/blue tit.png",
    4: "/data/upload/7/0a1b2c3d-cat%23.jpg",
    5: "/data/local-files/?d=photos/sea.jpg",
    6: "s3://bucket/same.png",
    7: "s3://bucket/same.png",
    8: "data:image/png;base64,AAAA",
    9: "https://images.example.com/get?id=9",
}


@pytest.fixture(scope="module")
def addresses():
    return Addresses({task: TaskRow(uri, "u") for task, uri in URIS.items()})


@pytest.mark.parametrize(
    ("task", "file", "found"),
    [
        *((task, None, [task]) for task in URIS),
        *((None, uri, [task]) for task, uri in URIS.items() if task not in (6, 7)),
        (None, "cats/1.jpg", [1]),
        (None, "https://images.example.com/cats/1.jpg", [1]),
        (None, "blue tit.png", [3]),
        (None, "bucket/birds/blue tit.png", [3]),
        (None, "cat#.jpg", [4]),
        (None, "0a1b2c3d-cat#.jpg", [4]),
        (None, "sea.jpg", [5]),
        (None, "photos/sea.jpg", [5]),
        (None, "same.png", [6, 7]),
        (None, "s3://bucket/same.png", [6, 7]),
        (1, "1.jpg", [1]),
        (8, None, [8]),
    ],
)
def test_it_is_found(addresses, task, file, found):
    assert addresses.find(task, file) == (found, "")


@pytest.mark.parametrize(
    ("task", "file", "why"),
    [
        (99, None, "task 99 is not in this project"),
        (None, None, "neither a task nor a file"),
        (None, "1.jpg", "may be the image of tasks 1, 2: give its whole address"),
        (None, "other.jpg", "no task has the image 'other.jpg'"),
        (None, "rds/blue tit.png", "no task has the image"),
        (None, "birds/1.jpg", "no task has the image"),
        (2, "cats/1.jpg", "task 2 has another image than 'cats/1.jpg'"),
        (None, "", "neither a task nor a file"),
    ],
)
def test_it_is_not_and_why(addresses, task, file, why):
    found, told = addresses.find(task, file)
    assert found == [] and why in told


def test_what_is_exported_holds_no_signature_and_finds_its_task(addresses):
    assert shown_address(URIS[1]) == "https://images.example.com/cats/1.jpg"
    assert shown_address("https://user:secret@host/1.jpg") == "https://host/1.jpg"
    assert shown_address(URIS[5]) == URIS[5] and shown_address(URIS[8]) is None
    for task, uri in URIS.items():
        assert addresses.find(task, shown_address(uri)) == ([task], "")
