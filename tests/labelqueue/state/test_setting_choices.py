"""Settings of a project: whoever changed a key last wins it, and Label Studio's repetitions are no changes."""

import json
import time

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from labelqueue.exceptions import SettingError
from labelqueue.settings import PROJECT
from labelqueue.state.project import Project
from labelqueue.state.setting_choices import EXTRA_PARAMS


def sources(project):
    return {name: choice.source for name, choice in project.setting_choices().items()}


@pytest.mark.parametrize("raw", [{"seed": 3}, '{"seed": 3}', json.dumps({"seed": "3"})])
def test_extra_params_in_every_form(project, raw):
    assert project.take_extra_params(raw)
    assert project.settings()["seed"] == 3
    choice = project.setting_choices()["seed"]
    assert (choice.value, choice.source) == (3, EXTRA_PARAMS) and 0 <= time.time() - choice.at < 10
    assert not project.take_extra_params(raw), "Label Studio repeats them at every /setup"
    assert project.setting_choices()["seed"] == choice


@pytest.mark.parametrize("junk", ["{", "[1]", 5, '"text"', {"sead": 1}, {"sead": None}, {"trials": 7, "seed": "x"}])
def test_junk_changes_nothing_and_is_shown(project, junk):
    project.take_extra_params({"seed": 3})
    assert not project.take_extra_params(junk)
    assert project.settings()["seed"] == 3 and project.settings()["trials"] == 200
    assert "extra params" in project.get("settings_error")
    project.take_extra_params({"seed": 3})
    assert project.get("settings_error") == "", "the old ones put back are no error"
    project.take_extra_params({"seed": 4})
    assert project.settings()["seed"] == 4


def test_a_key_taken_out_of_the_extra_params_falls_back(project):
    project.take_extra_params({"seed": 3, "trials": 5})
    assert project.take_extra_params({"trials": 5})
    assert (project.settings()["seed"], project.settings()["trials"]) == (0, 5)
    project.take_extra_params("junk")
    project.take_extra_params({"seed": 1})
    assert project.settings()["trials"] == 200, "junk in between does not make an old key stay"
    for empty in (None, "", "null", {}):
        project.take_extra_params({"trials": 5})
        project.take_extra_params(empty)
        assert project.settings()["trials"] == 200


def test_a_key_changed_by_command_survives_repeated_extra_params_and_changes_of_other_keys(project):
    project.take_extra_params({"seed": 3, "trials": 5})
    assert project.put_settings({"seed": 9}, "REST") == {"seed": 9}
    project.take_extra_params({"seed": 3, "trials": 5})
    project.take_extra_params({"seed": 3, "trials": 6})
    assert (project.settings()["seed"], project.settings()["trials"]) == (9, 6)
    assert sources(project) == {"seed": "REST", "trials": EXTRA_PARAMS}
    project.take_extra_params({"trials": 6})
    assert project.settings()["seed"] == 9, "its value does not come from the extra params"
    project.take_extra_params({"seed": 3, "trials": 6})
    assert project.settings()["seed"] == 3, "written again into the extra params, it is the last change"


def test_junk_between_equal_extra_params_takes_no_key_back(project):
    project.take_extra_params({"seed": 3})
    project.put_settings({"seed": 9}, "command line")
    project.take_extra_params("junk")
    project.take_extra_params({"seed": 3})
    assert project.settings()["seed"] == 9


def test_null_goes_back_to_the_default_from_anywhere(project):
    project.take_extra_params({"seed": 3, "n_patterns": 4})
    assert project.put_settings({"seed": None, "trials": None}, "REST") == {"seed": 0}
    project.take_extra_params({"seed": 3, "n_patterns": 4})
    assert project.settings()["seed"] == 0 and "seed" not in project.setting_choices()
    project.put_settings({"trials": 7}, "REST")
    assert project.take_extra_params({"trials": None})
    assert project.settings()["trials"] == 200 and project.setting_choices() == {}


def test_all_or_nothing(project):
    with pytest.raises(SettingError, match="trials"):
        project.put_settings({"seed": 4, "trials": 0}, "REST")
    with pytest.raises(SettingError, match="unknown setting 'sead'"):
        project.put_settings({"seed": 4, "sead": None}, "REST")
    assert project.setting_choices() == {}


def test_a_setting_that_no_longer_exists_is_ignored(project, store):
    store.hset(project.name("settings"), "retired", json.dumps({"value": 1, "source": "REST", "at": 1.0}))
    assert set(project.settings()) == set(PROJECT) and project.setting_choices() == {}


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("repeat"), st.just({})),
        st.tuples(
            st.sampled_from(["extra", "REST", "command line"]),
            st.dictionaries(st.sampled_from(["seed", "trials"]), st.one_of(st.none(), st.integers(1, 5)), max_size=2),
        ),
    ),
    max_size=12,
)


@rules(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(changes=CHANGES)
def test_the_last_change_of_each_key_wins(store, project, changes):
    """A model that follows each key alone: extra params count where a key's value is not the one seen there before."""
    project = Project(store, project.ref)
    project.forget()
    absent = object()
    mine: dict = {}
    extra: dict = {}
    for where, what in changes:
        if where == "repeat":
            project.take_extra_params(dict(extra))
        elif where == "extra":
            for key in ("seed", "trials"):
                old, new = extra.get(key, absent), what.get(key, absent)
                if new is absent:
                    if mine.get(key, (0, ""))[1] == EXTRA_PARAMS:
                        del mine[key]
                elif new != old:
                    mine.pop(key, None)
                    if new is not None:
                        mine[key] = (new, EXTRA_PARAMS)
            extra = what
            project.take_extra_params(what)
        else:
            for key, value in what.items():
                mine.pop(key, None)
                if value is not None:
                    mine[key] = (value, where)
            project.put_settings(what, where)
        assert {key: (c.value, c.source) for key, c in project.setting_choices().items()} == mine
