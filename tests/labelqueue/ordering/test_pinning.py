"""The law of pins: who comes first, which positions stay, and that as few scores as can be change."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from labelqueue.ordering.order import END, Order, Place, score
from labelqueue.ordering.pinning import _longest, arranged, moved


def order_of(n, controls=(), first=1):
    places = tuple(Place(task, f"rank {task}", task in controls) for task in range(first, first + n))
    return Order(number=1, version="r1", places=places)


def pins_of(order, tasks):
    controls = {place.task for place in order.places if place.control}
    return [Place(task, "pinned by an admin; why", task in controls) for task in tasks]


def served(order, done=()):
    """The queue as it is served, without what stands at the end."""
    scores = order.scores
    return [place.task for place in order.queue if scores[place.task] < END and place.task not in done]


def check(order):
    """What holds of every overlay."""
    queue = [place.task for place in order.queue]
    assert len(queue) == len({*queue}) and set(queue) == set(order.scores)
    scores = [order.scores[task] for task in queue]
    assert all(a < b for a, b in pairwise(scores)) and all(0 < at < 1 for at in scores)
    assert {task for task, at in order.scores.items() if END > at >= score(len(order.places))} == set()
    assert Order.load(order.dump()) == order


def test_pins_stand_in_front_and_what_they_displace_follows():
    order = order_of(6, controls={2, 6})
    told = arranged(order, pins_of(order, [5, 99]), {})
    check(told)
    assert served(told) == [5, 2, 99, 1, 3, 6, 4], "controls keep positions 2 and 6"
    first, *_ = told.queue
    assert first.pinned and first.reason == "pinned by an admin; why" and told.places == order.places
    assert moved(order, told) == {5, 99, 2, 6}, "two pins, and the two controls among what moved back"


def test_an_order_that_stands_as_it_should_is_the_same_one():
    order = order_of(60, controls={4, 30})
    pins, out = pins_of(order, [50, 99]), {7: "left out by an admin: blurry"}
    told = arranged(order, pins, out)
    assert told != order and arranged(told, pins, out) is told
    assert arranged(order, [], {}) is order


def test_a_pinned_control_stays_at_its_position():
    order = order_of(6, controls={4})
    told = arranged(order, pins_of(order, [4, 6]), {})
    assert served(told) == [6, 1, 2, 4, 3, 5] and told.queue[3].pinned and told.queue[3].control


def test_what_is_left_out_stands_last_with_the_reason_and_comes_back_to_its_place():
    order = order_of(6, controls={4})
    told = arranged(order, [], {2: "left out by an admin: blurry", 77: "elsewhere"})
    check(told)
    assert served(told) == [1, 3, 5, 4, 6], "the control keeps position 4"
    last = told.queue[-1]
    assert (last.task, last.excluded, last.reason) == (2, True, "left out by an admin: blurry")
    assert 77 not in told.scores
    back = arranged(told, [], {})
    check(back)
    assert served(back) == [1, 2, 3, 4, 5, 6] and back.scores[2] == score(1)


def test_what_is_no_longer_pinned_and_no_place_waits_at_the_end_and_is_never_deleted():
    order = order_of(3)
    told = arranged(order, pins_of(order, [50]), {})
    after = arranged(told, [], {})
    check(after)
    assert served(after) == [1, 2, 3] and set(after.scores) == {1, 2, 3, 50}
    assert "it was pinned, and is no more" in after.queue[-1].reason and not after.queue[-1].pinned
    assert served(arranged(after, pins_of(order, [50]), {})) == [50, 1, 2, 3]


def test_the_next_position_of_a_control_counts_what_was_served():
    order = order_of(8, controls={5})
    told = arranged(order, pins_of(order, [90, 91]), {})
    assert served(told) == [90, 91, 1, 2, 5, 3, 4, 6, 7, 8]
    done = {90, 91, 1}
    again = arranged(told, [], {}, done)
    assert served(again, done) == [2, 5, 3, 4, 6, 7, 8] and moved(told, again) == set()
    more = arranged(again, pins_of(order, [92]), {}, done)
    assert served(more, done) == [92, 5, 2, 3, 4, 6, 7, 8], "still the fifth that is served"


def test_behind_the_last_task_a_pin_still_has_room_before_a_refill():
    order = order_of(3)
    told = arranged(order, pins_of(order, [9]), {}, {1, 2, 3})
    check(told)
    assert score(2) < told.scores[9] < score(3)


def test_without_room_there_is_none():
    order, done = order_of(2), set()
    for task in range(100, 200):
        told = arranged(order, pins_of(order, [task]), {}, done)
        if told is None:
            break
        check(told)
        order, done = told, {*done, task}
    assert told is None and task > 130
    assert served(arranged(order_of(2), pins_of(order, range(100, 1100)), {}, fresh=True))[:2] == [100, 101]


def test_a_pin_costs_one_score_and_those_of_the_controls_behind_it():
    order = order_of(300, controls={50, 100, 200})
    assert moved(order, arranged(order, pins_of(order, [250]), {})) == {250, 50, 100, 200}
    assert moved(order, arranged(order, pins_of(order, [30]), {})) == {30}


@given(st.lists(st.integers(0, 9), max_size=12))
def test_the_longest_run_is_the_longest(values):
    run = _longest(values, [False] * len(values))
    assert all(a < b and values[a] < values[b] for a, b in pairwise(run))
    best = [1] * len(values)
    for j in range(len(values)):
        best[j] = 1 + max((best[i] for i in range(j) if values[i] < values[j]), default=0)
    assert len(run) == max(best, default=0)


N = 14
SETS = st.sets(st.integers(1, N + 6), max_size=6)  # those above N are no places


@st.composite
def cases(draw):
    """An order, and what admins and annotators do to it, one thing after the other."""
    controls = draw(st.sets(st.integers(1, N), max_size=4))
    steps = draw(st.lists(st.tuples(st.permutations(sorted(draw(SETS))), SETS, st.integers(0, 3)), max_size=4))
    return controls, [(pins, dict.fromkeys(out - {*pins}, "left out by an admin: x"), n) for pins, out, n in steps]


@settings(deadline=None, max_examples=300)
@given(cases())
def test_whatever_is_wished_the_law_holds(case):
    controls, steps = case
    order, done = order_of(N, controls), set()
    for wished, out, labeled in steps:
        pins = pins_of(order, [task for task in wished if task not in done])
        told = arranged(order, pins, out, done)
        check(told)
        assert arranged(told, pins, out, done) == told, "nothing more is to be done"
        now, front = served(told, done), [pin.task for pin in pins]
        free = [task for task in now if not (task in controls and (task not in front or task <= N))]
        expected = [task for task in front if task not in controls]
        assert free[: len(expected)] == expected, "pins stand in front, around the controls"
        rest = [task for task in free if task not in front]
        assert rest == sorted(rest), "the others follow in their order"
        assert set(now) == (({*range(1, N + 1)} - done) | {*front}) - out.keys()
        if not done:
            late = len(now) - len(controls)
            for task in controls - out.keys():
                assert now.index(task) == task - 1 or now.index(task) >= late, "but at the end, positions stay"
        undone = arranged(told, [], {}, done)
        check(undone)
        assert served(undone, done) == served(arranged(order, [], {}, done), done), "undoing restores the queue"
        order, done = told, {*done, *now[:labeled]}
