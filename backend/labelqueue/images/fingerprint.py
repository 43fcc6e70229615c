"""What tells one embedding model from another, and the fingerprint of what it makes: known without the model itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..records import known_fields
from .precision import FLOAT32

__all__ = ["ModelCard"]


@dataclass(frozen=True)
class ModelCard:
    """One embedding model, as far as it shapes the numbers.

    Attributes
    ----------
    model : str
        timm model name, or ``bundled``.
    weights : str
        sha256 (hex) of the file the weights came from.
    image_size : int
        Side of the square the model looks at, in pixels.
    mean, std : tuple of float
        Of the normalization, per channel.
    preprocessing, patterns : int
        Versions of what is done before and after the model.
    minibatch_size : int, default 0
        Images per forward pass, on the device of whoever loaded it; 0 when it was not written down. It shapes no
        number, and so no fingerprint.
    precision : str, default 'float32'
        With which it computes, see `precision`. Only a shorter one is in the fingerprint: float32 gives the same
        vectors everywhere, up to `precision.BOUND`.
    """

    model: str
    weights: str
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    preprocessing: int
    patterns: int
    minibatch_size: int = 0
    precision: str = FLOAT32

    def dump(self) -> str:
        """Return the JSON form."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, raw: str | bytes) -> ModelCard:
        """Parse `dump`'s form."""
        row = known_fields(cls, json.loads(raw))
        return cls(**{**row, "mean": tuple(row["mean"]), "std": tuple(row["std"])})

    def fingerprint(self, parameters: Mapping[str, Any]) -> str:
        """Return the name of a generation: 32 hex digits over everything that shapes the numbers.

        Parameters
        ----------
        parameters : mapping
            JSON values: the keyword arguments given to `Embedder.embed`.
        """
        everything = {
            "model": self.model,
            "weights": self.weights,
            "image_size": self.image_size,
            "mean": self.mean,
            "std": self.std,
            "preprocessing": self.preprocessing,
            # The setting's name is in every fingerprint, and stays there.
            "parameters": {
                "neighbourhood" if name == "neighborhood" else name: parameters[name] for name in parameters
            },
        }
        if parameters.get("n_patterns", 1) > 1:
            everything["patterns"] = self.patterns
        if self.precision != FLOAT32:
            everything["precision"] = self.precision
        return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:32]
