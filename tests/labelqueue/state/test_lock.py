"""One holder at a time, and a holder that lost its lock learns it before it writes."""

import pytest

from labelqueue.exceptions import PublishError
from labelqueue.state.lock import ProjectLock


def test_one_at_a_time(project):
    with ProjectLock(project) as first:
        assert first.acquired
        first.check()
        with ProjectLock(project) as second:
            assert not second.acquired
            with pytest.raises(PublishError):
                second.check()
        first.check()
    with ProjectLock(project) as third:
        assert third.acquired


def test_a_lost_lock_is_noticed_and_not_taken_from_its_new_holder(project):
    with ProjectLock(project) as stalled:
        project.store.delete(project.name("lock"))  # as if it had expired
        with ProjectLock(project) as new:
            with pytest.raises(PublishError, match="lost its project's lock"):
                stalled.check()
            new.check()
            stalled.__exit__(None, None, None)
            new.check()
