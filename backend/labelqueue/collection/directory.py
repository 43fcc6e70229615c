"""The directory of a collection: which model made its vectors, its shards, its failures and how far each part came."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..exceptions import CollectionError
from ..files import write_atomically
from ..images import ModelCard
from .part import Part

__all__ = ["Collection", "Failure"]

FILE, FORMAT = "labelqueue-collection.json", 1
READABLE = 0o644  # other machines may run under other users


@dataclass(frozen=True)
class Failure:
    """An image that was not embedded.

    Attributes
    ----------
    uri, version : str
        Of the `Picture`.
    reason : str
        One sentence.
    again : bool
        Whether another time may do: it could not be fetched.
    """

    uri: str
    version: str
    reason: str
    again: bool


@dataclass(frozen=True)
class Collection:
    """A directory of embedded images, of one model and one number of patterns.

    Attributes
    ----------
    path : Path
        The directory.
    card : ModelCard
        The model.
    n_patterns : int
        Semantic patterns per image, at most; with 1 the vector itself is the pattern.
    dimension : int
        Numbers in a vector.
    """

    path: Path
    card: ModelCard
    n_patterns: int
    dimension: int

    @property
    def fingerprint(self) -> str:
        """The name of everything that shapes the numbers: 32 hex digits."""
        return self.card.fingerprint({"n_patterns": self.n_patterns})

    @staticmethod
    def is_one(path: Path) -> bool:
        """Tell whether a directory is a collection."""
        return (path / FILE).is_file()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a collection.

        Raises
        ------
        CollectionError
            If it is none, damaged, or of a newer format.
        """
        try:
            record = json.loads((path / FILE).read_text(encoding="utf-8"))
            if record["format"] != FORMAT:
                raise CollectionError(
                    f"{path} is a collection of format {record['format']}, this version reads format {FORMAT}: "
                    "update labelqueue"
                )
            card = ModelCard.load(json.dumps(record["card"]))
            return cls(path, card, int(record["n_patterns"]), int(record["dimension"]))
        except FileNotFoundError:
            raise CollectionError(f"{path} is no collection: `labelqueue embed SOURCE -o {path}` makes one") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CollectionError(f"{path / FILE} cannot be read ({error}): bring it back, or embed anew") from error

    @classmethod
    def make(cls, path: Path, card: ModelCard, n_patterns: int, dimension: int) -> Self:
        """Make a collection, or open the one that is there.

        Raises
        ------
        CollectionError
            If another model made what is there, other files are in the directory, or it cannot be written.
        """
        wanted = cls(path, card, n_patterns, dimension)
        if not cls.is_one(path):
            record = {
                "format": FORMAT,
                "fingerprint": wanted.fingerprint,
                "card": json.loads(card.dump()),
                "n_patterns": n_patterns,
                "dimension": dimension,
            }
            try:
                path.mkdir(parents=True, exist_ok=True)
                others = [name for name in os.listdir(path) if not name.startswith(".") and name != FILE]  # noqa: PTH208
                if others and not cls.is_one(path):
                    raise CollectionError(
                        f"{path} is no collection and holds other files ({others[0]}): name a new folder with -o"
                    )
                _write_once(path / FILE, json.dumps(record, indent=2).encode())
            except OSError as error:
                raise CollectionError(f"{path} cannot be written ({error}): name another with -o DIR") from error
        here = cls.open(path)
        if here.fingerprint != wanted.fingerprint:
            raise CollectionError(
                f"the vectors in {path} are of {here.told}, and this is {wanted.told}: vectors of two models are never "
                "mixed; name another folder with -o, or say --model, --weights and --patterns as before"
            )
        return here

    @property
    def told(self) -> str:
        """What made the vectors, for people."""
        patterns = f", {self.n_patterns} patterns" if self.n_patterns > 1 else ""
        digest = self.card.weights[:8]
        return f"{self.card.model} at {self.card.image_size} pixels (weights {digest}{patterns})"

    # -- shards

    def shards(self) -> list[Path]:
        """Return the files of vectors, oldest first."""
        return sorted(self.path.glob("shard-*.parquet"))

    def new_shard(self) -> Path:
        """Return the path of a file of vectors that is younger than all others and nobody else's."""
        return self.path / f"shard-{_stamp()}.parquet"

    # -- failures

    def fail(self, failures: Sequence[Failure]) -> None:
        """Keep what was not embedded: a file of one JSON object a line."""
        if failures:
            rows = [json.dumps(vars(failure)) for failure in failures]
            data = "".join(f"{row}\n" for row in rows).encode()
            self.write(self.path / f"failures-{_stamp()}.jsonl", data)

    def failures(self) -> Iterator[Failure]:
        """Yield what was not embedded, oldest first; the same image may come again."""
        return (failure for _, failure in self.stamped_failures())

    def stamped_failures(self) -> Iterator[tuple[str, Failure]]:
        """Yield the same, each after a stamp that compares with those in the names of shards.

        Raises
        ------
        CollectionError
            If a file is damaged.
        """
        for file in sorted(self.path.glob("failures-*.jsonl")):
            try:
                for line in file.read_text(encoding="utf-8").splitlines():
                    row = json.loads(line)
                    failure = Failure(row["uri"], row["version"], row["reason"], row["again"])
                    yield file.stem.partition("-")[2], failure
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise CollectionError(
                    f"{file} cannot be read ({error}): remove it, and its images are looked at again"
                ) from error

    # -- parts

    def note(self, part: Part, record: Mapping[str, Any]) -> None:
        """Write down how far a part came."""
        data = json.dumps({"part": part.number, "of": part.of, **record}, indent=2).encode()
        self.write(self.path / f"part-{part.number:04d}-of-{part.of:04d}.json", data)

    def unfinished(self) -> list[str]:
        """Return what is not whole, one line each: parts that stopped, or that nobody ran; empty when all is done."""
        records: dict[tuple[str, int], dict[int, Any]] = {}
        for file in sorted(self.path.glob("part-*.json")):
            try:
                record = json.loads(file.read_text(encoding="utf-8"))
                records.setdefault((record["source"], record["of"]), {})[record["part"]] = record
            except (OSError, ValueError, KeyError, TypeError):
                continue  # a note, nothing that counts
        lines = []
        whole = {source for (source, of), parts in records.items() if _done(parts, of)}
        for (source, of), parts in records.items():
            if source in whole:
                continue
            open_ones = [number for number in range(1, of + 1) if not parts.get(number, {}).get("complete")]
            some = ", ".join(f"{number}/{of}" for number in open_ones[:8])
            more = f" and {len(open_ones) - 8} more" if len(open_ones) > 8 else ""
            lines.append(f"{source} is not embedded as a whole: part {some}{more} did not finish")
        return lines

    def write(self, path: Path, data: bytes) -> None:
        """Write a file of the collection that appears whole or not at all.

        Raises
        ------
        CollectionError
            If the disk is full, or the directory cannot be written.
        """
        try:
            write_atomically(path, data, mode=READABLE)
        except OSError as error:
            raise CollectionError(
                f"{path} cannot be written ({error}): what was written before stays, and the same command goes on"
            ) from error


def _done(parts: Mapping[int, Any], of: int) -> bool:
    return all(parts.get(number, {}).get("complete") for number in range(1, of + 1))


def _stamp() -> str:
    """Return a name that sorts by time and is nobody else's."""
    return f"{time.time_ns():016x}-{os.urandom(4).hex()}"


def _write_once(path: Path, data: bytes) -> None:
    """Write a file unless somebody was faster; it appears whole."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".collection-", suffix=".part")
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), READABLE)
        file.write(data)
    temporary = Path(name)
    try:
        with contextlib.suppress(FileExistsError):
            try:
                os.link(temporary, path)
            except FileExistsError:
                raise
            except OSError:  # a file system without links
                if not path.exists():
                    temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
