"""The book of labels in Redis."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelqueue.labels.annotations import Annotation, Answer
from labelqueue.labels.label_config import parse_label_config
from labelqueue.labels.values import value_of
from labelqueue.state.label_book import FORMAT, LabelBook

IMAGE = '<Image name="image" value="$image"/>'
OPEN = parse_label_config(f'<View>{IMAGE}<Choices name="choice" toName="image" value="$choices"/></View>')


def said(number, *labels, skip=False):
    answer = Answer(tuple((label,) for label in sorted(labels)))
    return Annotation(number, "now", 1, False, skip, {"choice": answer} if labels else {})


@pytest.fixture
def book(project):
    return LabelBook(project)


def test_labels_come_in_the_order_of_their_first_annotation(project, book):
    book.put({1: ("a", [said(30, "cat")]), 2: ("b", [said(10, "cat", skip=True), said(20, "dog")])})
    book.put({3: ("c", [said(25, "dog"), said(5, "dog")]), 4: ("d", [said(1)]), 5: ("e", [])})
    labels = book.labels(project.target())
    assert list(labels.values.items()) == [(3, "dog"), (2, "dog"), (1, "cat")]
    assert labels.classes == ("cat", "dog") and labels.dropped == {}
    assert labels.answers == (4, 3, -2, 2, 1), "each task at its first annotation, and below zero at its first skip"


def test_labels_that_the_config_lost_are_counted_by_task(project, book):
    book.put({1: ("a", [said(1, "whale"), said(2, "whale")]), 2: ("a", [said(3, "whale", "cat")]), 3: ("a", [said(4)])})
    labels = book.labels(project.target())
    assert labels.values == {} and labels.dropped == {"whale": 2}
    assert labels.without == {"a label that is not in the label config": 2, "no answer to the control that counts": 1}


def test_classes_of_a_config_without_labels_are_those_seen(book):
    book.put({1: ("a", [said(1, "whale")]), 2: ("a", [said(2, "ant")]), 3: ("a", [said(3, "skip", skip=True)])})
    labels = book.labels(OPEN)
    assert labels.classes == ("ant", "whale") and labels.values == {1: "whale", 2: "ant"}


def test_a_reading_replaces_the_one_before(book):
    book.put({1: ("a", [said(1, "cat"), said(2, "dog")])})
    book.put({1: ("b", [said(1, "dog")])})
    assert book.annotations() == {1: [said(1, "dog")]}
    assert book.read_at([1, 2]) == {1: "b"}
    book.drop([1, 2])
    assert book.annotations() == {} and book.read_at([1]) == {} and book.read_at([]) == {}


def test_a_lost_book_is_not_complete(store, project, book):
    assert not book.complete
    book.set_complete()
    assert book.complete and book.tasks() == set() and book.annotations() == {}
    book.put({1: ("a", [])})
    book.drop([1])
    assert book.complete
    store.delete(project.name("labels", FORMAT))
    assert not book.complete


def test_a_forgotten_project_leaves_no_labels(store, project, book):
    book.put({1: ("a", [said(1, "cat")])})
    project.forget()
    assert store.keys(project.name("*")) == [] and book.annotations() == {}


READINGS = st.dictionaries(
    st.integers(1, 6), st.lists(st.sampled_from([(), ("cat",), ("dog",), ("whale",)]), max_size=3), min_size=1
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50)
@given(READINGS, st.randoms(use_true_random=False), st.integers(1, 3))
def test_order_and_repetition_of_readings_do_not_matter(project, readings, random, times):
    target = project.target()
    read = {
        task: ("mark", [said(10 * task + number, *labels) for number, labels in enumerate(given)])
        for task, given in readings.items()
    }
    book = LabelBook(project)
    book.drop(book.tasks())
    book.put(read)
    once = book.labels(target)
    book.drop(book.tasks())
    for _ in range(times):
        for task in random.sample(sorted(read), len(read)):
            book.put({task: read[task]})
    assert book.labels(target) == once
    assert list(book.labels(target).values) == list(once.values)
    assert once.values == {task: value for task, (_, a) in read.items() if (value := value_of(a, target)) is not None}
