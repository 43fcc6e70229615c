"""What the command lines of `select`, `simulate` and `pretext` have in common: numbers within bounds, the model."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from ..images import weights_file
from ..settings import Deployment

__all__ = ["add_model_arguments", "at_least", "chosen_model", "chosen_size", "image_side"]

SIDES, SIDE_STEP = (16, 128), 16  # pixels, smallest and largest: what `RotationNet` takes


def at_least(low: int) -> Callable[[str], int]:
    """Return an argparse type: a whole number that is not below `low`."""

    def parse(text: str) -> int:
        number = int(text)
        if number < low:
            raise argparse.ArgumentTypeError(f"{number} is less than {low}")
        return number

    parse.__name__ = "whole number"  # argparse shows it: "invalid whole number value: 'x'"
    return parse


def image_side(text: str) -> int:
    """Argparse type: the side in pixels of the square that images are squashed to."""
    number = int(text)
    if number % SIDE_STEP or not SIDES[0] <= number <= SIDES[1]:
        raise argparse.ArgumentTypeError(f"{number} is no multiple of {SIDE_STEP} from {SIDES[0]} to {SIDES[1]}")
    return number


image_side.__name__ = "whole number"


def add_model_arguments(parser: argparse.ArgumentParser, *, cache: bool = True) -> None:
    """Add the arguments that say how images are embedded, and where that is kept; see `chosen_model`."""
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="timm model name, or `bundled` (default: LABELQUEUE_EMBEDDER, else DINOv2 ViT-S/14)",
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="safetensors file (default: LABELQUEUE_WEIGHTS, else timm's hub)"
    )
    parser.set_defaults(cache=None)
    if not cache:
        return
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="where embeddings are kept (default: LABELQUEUE_HOME)"
    )


def chosen_model(args: argparse.Namespace) -> tuple[str, Path | None, Path]:
    """Return model, weights and cache directory: from the command line, else from the environment."""
    deployment = Deployment.from_environment()
    model = args.model or deployment.embedder
    # A weights file of the environment belongs to the model of the environment.
    weights = args.weights or weights_file(deployment.weights, deployment.embedder, model)
    return model, weights, args.cache or deployment.home / "select"


def chosen_size(args: argparse.Namespace) -> int | None:
    """Return the side in pixels that images are squashed to; None: the model's usual one, as for a model that the
    command line names."""
    return Deployment.from_environment().image_size if args.model is None else None
