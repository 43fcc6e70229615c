"""A share of the images, so that any scheduler can run the shares side by side."""

from __future__ import annotations

from dataclasses import dataclass

from ..block import source_hash

__all__ = ["WHOLE", "Part"]


@dataclass(frozen=True)
class Part:
    """One of several shares of the images.

    An image belongs to a share by a hash of its address alone: images that come or go move no other, and the shares
    together are everything once.

    Attributes
    ----------
    number : int
        Which share, from 1.
    of : int
        How many there are.

    Examples
    --------
    >>> parts = [Part(number, 3) for number in (1, 2, 3)]
    >>> [sum(part.has(f"s3://photos/{name}.jpg") for part in parts) for name in range(4)]
    [1, 1, 1, 1]
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """Parse ``3/16``.

        Raises
        ------
        ValueError
            If it is no such thing.
        """
        number, _, of = text.partition("/")
        if not (number.isascii() and number.isdigit() and of.isascii() and of.isdigit()):
            raise ValueError(f"{text!r} is not a part such as 3/16")
        part = cls(int(number), int(of))
        if not 1 <= part.number <= part.of:
            raise ValueError(f"{text!r}: parts of {part.of} are 1/{part.of} to {part.of}/{part.of}")
        return part

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, uri: str) -> bool:
        """Tell whether an image belongs to this share."""
        return self.of == 1 or source_hash(uri) % self.of == self.number - 1


WHOLE = Part(1, 1)
