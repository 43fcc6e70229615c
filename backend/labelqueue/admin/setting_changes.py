"""A project's settings and where they come from, as JSON and as lines for people; and how they are changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..allowed import IMPORTED, check_together
from ..exceptions import ProjectError, SettingError
from ..jobs import imported_vectors, request_tend
from ..labels import parse_label_config
from ..settings import PROJECT, parse_project_settings
from ..state import Project
from .lines import Record, fact, moment, shown

__all__ = ["change_settings", "project_settings", "settings_lines", "wanted_settings"]

NAMED = 20  # labels that an error lists


def change_settings(project: Project, raw: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Change settings, all of them or none.

    Parameters
    ----------
    project : Project
        Whose settings.
    raw : mapping
        Name to JSON value; None goes back to the default.
    source : str
        Where the change comes from, for people.

    Returns
    -------
    dict
        Name to new value, only of settings that now have another value.

    Raises
    ------
    SettingError
        On an unknown name, a value that is not allowed, or a `target` or a label that the label config does not have.
    """
    wanted_settings(project, raw)
    changed = project.put_settings(raw, source)
    if changed:
        request_tend(project)
    return changed


def wanted_settings(project: Project, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value that every setting would have after a change, which is not made; see `change_settings`."""
    parsed = parse_project_settings({k: v for k, v in raw.items() if v is not None or k not in PROJECT})
    given = {name: PROJECT[name].default if parsed.get(name) is None else parsed[name] for name in raw}
    wanted = {**project.settings(), **given}
    _check_embedder(project, raw.get("embedder"))
    if given:
        check_together(wanted)
    if config := project.get("label_config"):
        _check(config, wanted, raw)
    return wanted


def _check(config: str, wanted: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise SettingError when what is set now names something that the label config does not have."""
    if not given.get("target") and not given.get("label_map"):
        return
    try:
        target = parse_label_config(config, wanted["target"])
    except ProjectError as error:
        raise SettingError(f"setting 'target' has value {wanted['target']!r}: {error}", "target") from error
    unknown = sorted(set(wanted["label_map"].values()) - set(target.labels))
    if given.get("label_map") and unknown and not target.open:
        have = ", ".join(target.labels[:NAMED])
        told = f"setting 'label_map' leads to {unknown[0]!r}, and the label config has {have}"
        raise SettingError(told, "label_map")


def _check_embedder(project: Project, wanted: object) -> None:
    """Raise SettingError when vectors are asked for that nobody imported."""
    found = imported_vectors(project)
    here = found.get("model")
    if isinstance(wanted, str) and wanted.startswith(IMPORTED) and wanted.strip() != here:
        there = f"here are {here!r}" if here else "none were imported"
        raise SettingError(
            f"setting 'embedder' has value {wanted!r}, and {there}: `labelqueue embeddings import {project.ref.id} "
            f"FILE --name {wanted.removeprefix(IMPORTED)}` brings them and sets it",
            "embedder",
        )


def project_settings(project: Project) -> dict[str, Any]:
    """Return every project setting with its value and where that came from and when (Unix time)."""
    values, choices = project.settings(), project.setting_choices()
    rows = {
        name: {
            "value": values[name],
            "source": choices[name].source if name in choices else "default",
            "at": choices[name].at if name in choices else None,
            "default": setting.default,
            "help": setting.help,
        }
        for name, setting in PROJECT.items()
    }
    return {"project": project.ref.id, "settings": rows, "error": project.get("settings_error")}


def settings_lines(settings: Record) -> Iterator[str]:
    """Yield a project's settings with where they come from; see `project_settings`."""
    yield f"project {settings['project']}:"
    for name, row in settings["settings"].items():
        origin = row["source"] if row["at"] is None else f"{row['source']}, {moment(row['at'])}"
        yield f"  {name:<22} {shown(row['value']):<12} {origin}"
    if settings["error"]:
        yield fact("error", settings["error"])
