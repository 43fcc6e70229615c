"""One task as it is kept: its image and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TaskRow"]


@dataclass(frozen=True)
class TaskRow:
    """What we keep of one task: its image's URI and whether it is unlabeled, annotated or only skipped."""

    uri: str
    state: str

    def dump(self) -> bytes:
        """Return the form stored in Redis: the state's letter, then the URI, in which JSON may leave half a surrogate
        pair."""
        return (self.state + self.uri).encode("utf-8", "surrogatepass")

    @classmethod
    def load(cls, raw: bytes | str) -> TaskRow:
        """Parse `dump`'s form."""
        row = raw if isinstance(raw, str) else raw.decode("utf-8", "surrogatepass")
        return cls(row[1:], row[:1])
