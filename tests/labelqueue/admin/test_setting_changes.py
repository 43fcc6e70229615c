"""Changing settings: they ask for work when they changed, and a wrong one changes nothing."""

import pytest

from labelqueue import admin
from labelqueue.exceptions import SettingError


def queued(store):
    return store.llen("rq:queue:tend")


def test_changed_settings_ask_for_work_and_equal_ones_do_not(project, store):
    assert admin.change_settings(project, {"seed": 4, "trials": 200}, "REST") == {"seed": 4}
    assert queued(store) == 1 and project.setting_choices()["trials"].source == "REST"
    store.delete(project.name("queued"), "rq:queue:tend")
    assert admin.change_settings(project, {"seed": 4}, "command line") == {}
    assert queued(store) == 0


def test_a_target_that_the_label_config_lacks_is_refused(project):
    with pytest.raises(SettingError, match=r"'target' has value 'chioce'.*no control named 'chioce'"):
        admin.change_settings(project, {"target": "chioce", "seed": 1}, "REST")
    assert project.setting_choices() == {}
    assert admin.change_settings(project, {"target": "choice"}, "REST") == {"target": "choice"}
    assert admin.change_settings(project, {"target": None}, "REST") == {"target": ""}


def test_people_see_where_a_setting_comes_from(project):
    admin.change_settings(project, {"seed": 4}, "REST")
    project.set(settings_error="extra params of the Model page: nonsense")
    lines = list(admin.settings_lines(admin.project_settings(project)))
    (seed,) = [line for line in lines if line.startswith("  seed ")]
    assert seed.split()[1] == "4" and "REST, 20" in seed
    assert any(line.split()[-1] == "default" for line in lines)
    assert lines[-1].endswith("extra params of the Model page: nonsense")


def test_imported_vectors_can_be_asked_for_only_where_they_are(project):
    with pytest.raises(SettingError, match=r"none were imported: `labelqueue embeddings import 7 FILE --name own`"):
        admin.change_settings(project, {"embedder": "imported own"}, "test")
    project.set(imported='{"model": "imported own"}')
    assert admin.change_settings(project, {"embedder": "imported own"}, "test") == {"embedder": "imported own"}
    with pytest.raises(SettingError, match=r"here are 'imported own'"):
        admin.change_settings(project, {"embedder": "imported clip"}, "test")
    with pytest.raises(SettingError, match="expected the name of a model of timm"):
        admin.change_settings(project, {"embedder": "hf-hub:someone/something"}, "test")


def test_what_would_be_wanted_is_checked_and_nothing_is_changed(project):
    admin.change_settings(project, {"seed": 4, "strategy": "random"}, "REST")
    wanted = admin.wanted_settings(project, {"seed": None, "horizon": "", "control_share": "0.2"})
    assert (wanted["seed"], wanted["horizon"], wanted["control_share"]) == (0, None, 0.2)
    assert wanted["strategy"] == "random" and project.settings()["seed"] == 4
    assert admin.wanted_settings(project, {}) == project.settings()
    for change, name in (
        ({"seed": "x"}, "seed"),
        ({"target": "chioce"}, "target"),
        ({"label_map": {"a": "bird"}}, "label_map"),
        ({"embedder": "imported x"}, "embedder"),
        ({"strategy": "bal_paper"}, "budget"),
        ({"nothing": None}, ""),
    ):
        with pytest.raises(SettingError) as caught:
            admin.wanted_settings(project, change)
        assert caught.value.name == name
