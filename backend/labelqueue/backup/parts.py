"""The parts of a backup as values; one that cannot be read is said by its name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..exceptions import BackupError, LabelQueueError
from ..ordering import CampaignState, Order
from ..records import known_fields
from ..settings import PROJECT
from ..state import Act, Choice, ProjectRef, Wish, is_readable
from .archive import Reader
from .contents import (
    CAMPAIGN,
    CURATION,
    FACTS,
    MEMORY_FACTS,
    QUEUE_FACTS,
    SETTINGS,
    TASKS,
    block_name,
    load_columns,
    rows_name,
)

__all__ = ["Backup"]

_BLOCK = re.compile(r"embeddings/([0-9A-Za-z_-]+)/(\d{8})\.safetensors")
_ORDER = re.compile(r"orders/(\d{1,9})\.json")

T = TypeVar("T")
Columns = tuple[NDArray[np.int64], NDArray[np.uint64]]


class Backup:
    """What a backup holds; each part is read when it is asked for.

    Parameters
    ----------
    reader : Reader
        The file, checked.

    Raises
    ------
    BackupError
        Here or at any part: it is not in the form that its format has.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        manifest = reader.manifest
        self.made_at = self._parse("manifest.json", lambda: float(manifest["made_at"]))
        about = self._parse("manifest.json", lambda: dict(manifest["project"]))
        self.title = str(about.get("title", ""))
        self.ref = self._parse("manifest.json", lambda: ProjectRef(**known_fields(ProjectRef, about)))

    def _parse(self, name: str, parse: Callable[[], T]) -> T:
        try:
            return parse()
        except BackupError:
            raise
        except (LabelQueueError, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BackupError(
                f"the backup's {name} cannot be read ({type(error).__name__}: {str(error)[:200]}): take another one; "
                "nothing was changed"
            ) from error

    @cached_property
    def facts(self) -> dict[str, str]:
        """The facts that are taken along."""
        found = self._parse(FACTS, lambda: dict(self._reader.json(FACTS)))
        return {name: str(value) for name, value in found.items() if name in (*MEMORY_FACTS, *QUEUE_FACTS)}

    @cached_property
    def choices(self) -> dict[str, Choice]:
        """The settings that somebody chose."""

        def parse() -> dict[str, Choice]:
            rows = dict(self._reader.json(SETTINGS)["choices"])
            found = {name: Choice(**known_fields(Choice, row)) for name, row in rows.items() if name in PROJECT}
            for name, choice in found.items():
                if not is_readable(name, json.dumps(asdict(choice))):
                    raise ValueError(f"setting {name!r} is {choice.value!r}, which this version does not allow")
            return found

        return self._parse(SETTINGS, parse)

    @cached_property
    def extra_params(self) -> dict[str, Any] | None:
        """The extra params of the Model page as they were seen last; None when there were none."""

        def parse() -> dict[str, Any] | None:
            seen = self._reader.json(SETTINGS)["extra_params"]
            return None if seen is None else dict(seen)

        return self._parse(SETTINGS, parse)

    @cached_property
    def curation(self) -> dict[str, Any] | None:
        """Pins, exclusions and acts, as `Pins.bring` takes them; None in a backup from before there were any."""
        if CURATION not in self._reader.names:
            return None

        def parse() -> dict[str, Any]:
            found = dict(self._reader.json(CURATION))
            for name in ("pins", "exclusions"):
                found[name] = [(int(task), asdict(Wish(**known_fields(Wish, row)))) for task, row in found[name]]
            found["acts"] = [asdict(Act(**known_fields(Act, row))) for row in found["acts"]]
            found["before"] = [
                (int(number), [[int(row[0]), row[1], row[2]] for row in rows]) for number, rows in found["before"]
            ]
            return found

        return self._parse(CURATION, parse)

    def setting(self, name: str) -> Any:
        """Return the value of a project setting."""
        return self.choices[name].value if name in self.choices else PROJECT[name].default

    @cached_property
    def campaign(self) -> CampaignState:
        """What was learned."""
        names = {part: name for part, name in CAMPAIGN.items() if name in self._reader.names}
        parts = {part: self._reader.read(name) for part, name in names.items()}
        return self._parse("campaign", lambda: CampaignState.load(parts))

    @property
    def numbers(self) -> list[int]:
        """Numbers of the orders on record, ascending."""
        return sorted(int(found[1]) for name in self._reader.names if (found := _ORDER.fullmatch(name)))

    def order(self, number: int) -> Order:
        """Return the record of an order, with what it was made of."""
        name, inputs = f"orders/{number}.json", f"orders/{number}.inputs"
        made_of = self._reader.read(inputs) if inputs in self._reader.names else b""

        def parse() -> Order:
            order = Order.load(self._reader.read(name))
            if order.number != number:
                raise ValueError(f"it is order {order.number}")
            return replace(order, inputs=made_of)

        return self._parse(name, parse)

    @property
    def tasks(self) -> Columns:
        """Every task: ids of shape (n,), ascending, and the hashes of their images' URIs."""
        return self._parse(TASKS, lambda: load_columns(self._reader.read(TASKS)))

    @cached_property
    def blocks(self) -> dict[str, dict[str, str]]:
        """Generations of embeddings, each with its blocks and their checksums."""
        found: dict[str, dict[str, str]] = {}
        for name in self._reader.names:
            if at := _BLOCK.fullmatch(name):
                found.setdefault(at[1], {})[at[2]] = self._reader.manifest["parts"][name][1]
        return found

    def rows(self, generation: str) -> Columns:
        """Return which images a generation has; see `tasks`."""
        name = rows_name(generation)
        return self._parse(name, lambda: load_columns(self._reader.read(name)))

    def read_blocks(self, generation: str) -> Iterator[tuple[str, bytes]]:
        """Yield the blocks of a generation, oldest first: name and bytes."""
        for block in sorted(self.blocks[generation]):
            yield block, self._reader.read(block_name(generation, block))
