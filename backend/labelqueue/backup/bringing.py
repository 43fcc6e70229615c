"""What a restore replaces, for people to agree to, and how each part is staged beside what is here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..block import Block, find
from ..exceptions import BackupError, CacheError
from ..ordering import CampaignState
from ..progress import Progress
from ..state import WHOLE, Orders, PatternCache, Pins, Project, load_campaign, put_fields, rows_keys, save_campaign
from .contents import QUEUE_FACTS
from .matching import Match
from .parts import Backup
from .staging import Staged
from .translation import told_block, told_campaign, told_order

__all__ = ["Taken", "replaced", "stage"]


COUNTS = ("act_number", "arrivals", "arrivals_told", "order_number")  # facts that only grow


@dataclass(eq=False)
class Taken:
    """What is staged.

    Attributes
    ----------
    facts : dict of str to str
        Facts to remember with the switch.
    counts : list of str
        Keys that count the blocks of embeddings that are replaced.
    drops : list of str
        Keys of what is here that nothing takes the place of.
    told : dict
        What was taken and what was not, for people.
    """

    facts: dict[str, str] = field(default_factory=dict)
    counts: list[str] = field(default_factory=list)
    drops: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)


def replaced(project: Project, backup: Backup) -> list[str]:
    """Return, as lines for people, what is here and would be replaced; nothing where nothing is lost."""
    lines = []
    here, there = project.setting_choices(), backup.choices
    differ = sorted(name for name, mine in here.items() if name not in there or there[name].value != mine.value)
    newer = [name for name in differ if here[name].at > backup.made_at]
    if newer:
        lines.append(f"settings that were changed here after the backup: {', '.join(newer)}")
    if other := [name for name in differ if name not in newer]:
        lines.append(f"settings that were chosen otherwise then: {', '.join(other)}")
    if backup.curation is not None:
        last, acts = max((row["number"] for row in backup.curation["acts"]), default=0), Pins(project).acts()
        if acts and acts[0].number != last:
            lines.append(f"pins and exclusions: up to act {acts[0].number} here, up to act {last} then")
    mine, learned = load_campaign(project, whole=True), backup.campaign
    if _learned(mine) and _learned(learned) and mine.dump() != learned.dump():
        lines.append(
            f"what was learned here: {mine.trainings} trainings, the last on {len(mine.trained_on)} labels, "
            f"by {learned.trainings} trainings, the last on {len(learned.trained_on)}"
        )
    newest, last = Orders(project).last_number(), max(backup.numbers, default=0)
    if newest > last:
        lines.append(
            f"the backup knows orders up to r{last}, there were some up to r{newest} here, which stay on record"
        )
    return lines


def stage(
    staged: Staged, project: Project, backup: Backup, found: Match, spool: Path, *, same: bool, show: bool = False
) -> Taken:
    """Write every part of a backup aside, with what stays of what is here.

    Parameters
    ----------
    staged : Staged
        Where to.
    project : Project
        What is here.
    backup : Backup
    found : Match
        Which tasks are those of the backup.
    spool : Path
        Folder of local copies of embedded blocks.
    same : bool
        Whether it is the project that was backed up: its queue goes on, else only what is known of it does.
    show : bool
        Whether to show how far it came.
    """
    taken, total = Taken(), len(backup.tasks[0])
    taken.told["tasks"] = {"taken": len(found), "of": total, "by_image": int((found.then != found.now).sum())}
    _stage_settings(staged, project, backup, taken, same=same)
    learned = _stage_campaign(staged, project, backup, found, taken)
    _stage_curation(staged, project, backup, found, taken)
    _stage_orders(staged, project, backup, found, taken)
    staged.keep_alive()
    brought = _stage_embeddings(staged, project, backup, found, spool, taken, show=show)
    _stage_facts(project, backup, taken, brought, same=same, learned=learned)
    staged.keep_alive()
    return taken


def _learned(state: CampaignState) -> bool:
    return bool(state.trainings or state.trained_on or state.guesses or state.controls)


def _stage_settings(staged: Staged, project: Project, backup: Backup, taken: Taken, *, same: bool) -> None:
    rows = {name: json.dumps(asdict(choice)) for name, choice in backup.choices.items()}
    if rows:
        put_fields(staged.store, staged.name("settings"), rows)
    else:
        taken.drops.append(project.name("settings"))
    if same and backup.extra_params is not None and not project.store.exists(project.name("extra_params")):
        # Else all of them would count as changed when Label Studio repeats them.
        staged.store.set(staged.name("extra_params"), json.dumps(backup.extra_params))
    taken.told["settings"] = sorted(rows)


def _stage_campaign(staged: Staged, project: Project, backup: Backup, found: Match, taken: Taken) -> bool:
    """Stage what was learned, and tell whether there was anything."""
    state = backup.campaign
    of = len(state.trained_on)
    if not found.exact:
        state = told_campaign(state, found)
    taken.told["learned"] = {"labels": len(state.trained_on), "of": of, "trainings": state.trainings}
    if not _learned(state):
        return not _learned(load_campaign(project))
    save_campaign(staged, state, CampaignState())
    taken.drops += rows_keys(project)
    return True


def _stage_curation(staged: Staged, project: Project, backup: Backup, found: Match, taken: Taken) -> None:
    """Stage pins and exclusions in place of those here; a backup from before there were any leaves these."""
    pins = Pins(staged if backup.curation is not None else project)
    if backup.curation is not None:
        pins.bring(backup.curation, dict(zip(found.then.tolist(), found.now.tolist(), strict=True)))
        taken.drops += [project.name(name) for name in ("pins", "exclusions", "acts", "acts_before")]
    taken.told["curation"] = {"pinned": len(pins.pins()), "excluded": len(pins.exclusions())}


def _stage_orders(staged: Staged, project: Project, backup: Backup, found: Match, taken: Taken) -> None:
    """Stage the orders of both: what is on record here stays."""
    orders, here = Orders(staged), {}
    for order in Orders(project).all():
        here[order.number] = order.version
        orders.save(replace(order, inputs=Orders(project).inputs(order.number)))
    others = []
    for number in backup.numbers:
        order = backup.order(number)
        if number not in here:
            orders.save(order if found.exact else told_order(order, found))
        elif here[number] != order.version:
            others.append(number)
    there = len(backup.numbers)
    known = sum(number in here for number in backup.numbers)
    taken.told["orders"] = {"taken": there - known, "of": there, "here": known - len(others), "others": others}


def _stage_embeddings(
    staged: Staged, project: Project, backup: Backup, found: Match, spool: Path, taken: Taken, *, show: bool
) -> set[str]:
    """Stage the embeddings of the images that are here; return the generations that there are something of then."""
    told, brought = [{"of": 0, "taken": 0, "here": 0, "added": 0}], set()
    total = sum(map(len, backup.blocks.values()))
    with Progress(total, "blocks of embeddings", enabled=show, leave=False) as progress:
        for generation, sums in backup.blocks.items():
            ids, sources = backup.rows(generation)
            here, aside = (PatternCache(one, generation, spool) for one in (project, staged))
            images = {"of": ids.size, "taken": 0, "here": 0, "added": 0}
            told.append(images)
            if found.exact and here.blocks().items() >= sums.items():
                images["here"] = ids.size
                progress.add(len(sums))
            elif found.rows(ids, sources).any():
                images["taken"] = _stage_blocks(staged, aside, backup, generation, found, progress)
                images["added"] = _keep_rows(here, aside)
                if here.begun():
                    taken.counts.append(project.name("cache", generation, "count"))
            else:
                continue
            brought.add(generation)
    # One generation is meant, the one of the most images: what BAL clusters instead is another one of the same.
    taken.told["images"] = max(told, key=lambda images: images["of"])
    return brought


def _stage_blocks(
    staged: Staged, aside: PatternCache, backup: Backup, generation: str, found: Match, progress: Progress
) -> int:
    """Stage the blocks of a generation, and return how many images of the tasks that are here they have.

    Where every task has its id they stay as they are, so that what was made of them can be computed again.
    """
    ids, sources = backup.rows(generation)
    mine, seen = found.rows(ids, sources), np.zeros(ids.size, dtype=np.bool_)
    for name, data in backup.read_blocks(generation):
        try:
            block = Block.from_bytes(data)
        except CacheError as error:
            raise BackupError(f"block {name} of the backup cannot be read: {error}; nothing was changed") from error
        at = find(ids, block.ids)
        at = at[(at >= 0) & (sources[at] == block.sources)] if ids.size else at[:0]
        seen[at] = True
        if found.exact:
            aside.put_back(name, data)
        elif len(told := told_block(block, found)):
            aside.put(told)
        staged.keep_alive()
        progress.add(1)
    kept = mine & seen
    if found.exact:
        aside.admit(ids[kept], sources[kept])
    return int(kept.sum())


def _keep_rows(here: PatternCache, aside: PatternCache) -> int:
    """Add what is embedded here and not in the backup, and return how many images that is."""
    ids, sources = here.columns()
    theirs, of = aside.columns()
    at = find(theirs, ids)
    new = (at < 0) | (of[at] != sources) if theirs.size else at < 0
    try:
        block = here.load(ids[new], sources[new])
    except CacheError:  # damaged here: these images are embedded again
        return 0
    if len(block):
        aside.put(block)
    return len(block)


def _stage_facts(
    project: Project, backup: Backup, taken: Taken, brought: set[str], *, same: bool, learned: bool
) -> None:
    here, there = project.info(), backup.facts
    facts = {"want_full": "1", "settings_error": ""}
    facts |= {name: there[name] for name in ("generation", "rotation_generation") if there.get(name) in brought}
    if "generation" in facts:  # and what made it; a backup of the version before does not say
        facts |= {name: there.get(name, "") for name in ("embedder", "imported")}
    if learned:
        facts |= {name: there.get(name, "") for name in ("learned", "standing") if name in here or name in there}
    numbers = {name: max(_number(here, name), _number(there, name)) for name in COUNTS}
    # Numbers are never given twice, whatever became of the fact that counts them.
    numbers["order_number"] = max([numbers["order_number"], *backup.numbers])
    facts |= {name: str(number) for name, number in numbers.items()}
    if same:
        facts |= _queue(here, there, set(backup.numbers) - set(taken.told["orders"]["others"]))
    elif "served" not in here:
        facts["served"] = "[]"  # none of these orders was ever live here
    taken.told["paused"] = facts.get("pause_wanted", "")
    taken.facts |= facts


def _queue(here: Mapping[str, str], there: Mapping[str, str], numbers: set[int]) -> dict[str, str]:
    """Return the facts of a project's queue: the backup's, unless there is a live order here already."""
    facts = {} if here.get("live") else {name: there[name] for name in QUEUE_FACTS if name in there}
    if facts.get("live") and _number(facts, "live") not in numbers:
        facts["live"] = ""
    facts["tags"] = " ".join(dict.fromkeys([*here.get("tags", "").split(), *there.get("tags", "").split()]))
    served = {(int(number), float(since)) for said in (here, there) for number, since in _served(said)}
    if served:
        facts["served"] = json.dumps(sorted(served, key=lambda row: row[1], reverse=True)[:WHOLE])
    return facts


def _served(facts: Mapping[str, str]) -> list[list[float]]:
    try:
        return [[row[0], row[1]] for row in json.loads(facts.get("served") or "[]")]
    except (ValueError, TypeError, LookupError) as error:
        raise BackupError(f"the fact 'served' cannot be read ({error}); nothing was changed") from error


def _number(facts: Mapping[str, str], name: str) -> int:
    raw = facts.get(name) or "0"
    return int(raw) if raw.isascii() and raw.isdecimal() else 0
