"""The tree of errors."""

from labelqueue import exceptions as module
from labelqueue.exceptions import LabelQueueError


def test_errors_are_one_tree_named_in_its_docstring():
    for name in module.__all__:
        assert issubclass(getattr(module, name), LabelQueueError)
        assert name in module.__doc__
    assert list(module.__all__) == sorted(module.__all__)
