"""What is known of the embedding model in processes that do not load it: its card, which embedding workers write."""

from __future__ import annotations

import json
import time

from ..exceptions import EmbedderError
from ..images import ModelCard
from ..jobs import PAGE, alive, is_on_its_way, queue
from ..settings import Deployment
from ..state import Redis

__all__ = ["ask_for_card", "card_of", "forget_cards", "keep_card", "keep_error", "name_of", "refuse_other"]

CARDS = "lq:models"  # hash: which model, in the settings' terms, to its card or to why there is none
TIMEOUT = 900  # seconds; the weights may have to be downloaded
AGAIN = 10.0  # seconds after which a model that could not be had is asked for again


def name_of(deployment: Deployment, doubled: bool) -> str:
    """Return which model the settings name, as the field of its card."""
    return json.dumps([deployment.embedder, str(deployment.weights or ""), doubled])


def keep_card(store: Redis, deployment: Deployment, doubled: bool, card: ModelCard) -> None:
    """Remember the card of a model that was loaded."""
    store.hset(CARDS, name_of(deployment, doubled), json.dumps({"card": card.dump()}))


def keep_error(store: Redis, deployment: Deployment, doubled: bool, error: EmbedderError) -> None:
    """Remember why a model cannot be had."""
    store.hset(CARDS, name_of(deployment, doubled), json.dumps({"error": str(error), "at": time.time()}))


def refuse_other(store: Redis, deployment: Deployment, doubled: bool, asked: str) -> None:
    """Say that the model that was asked for is another one than that of this embedding worker."""
    mine = name_of(deployment, doubled)
    if asked not in ("", mine):
        why = (
            f"embedding workers are set to another model ({mine}) than the tending one ({asked}): give both the same "
            "LABELQUEUE_EMBEDDER and LABELQUEUE_WEIGHTS"
        )
        store.hset(CARDS, asked, json.dumps({"error": why, "at": time.time()}))


def forget_cards(store: Redis, deployment: Deployment) -> None:
    """Forget what is known of the models that these settings name: the weights of before may be others now."""
    store.hdel(CARDS, *(name_of(deployment, doubled) for doubled in (False, True)))


def card_of(store: Redis, deployment: Deployment, doubled: bool) -> ModelCard | None:
    """Return the card of a model, or None while it is not known: then an embedding worker is asked for it, and every
    project has a look when it answers.

    Parameters
    ----------
    doubled : bool
        Whether the model looks at images of twice the size, as for segmentation.

    Raises
    ------
    EmbedderError
        If the model cannot be had.
    """
    raw = store.hget(CARDS, name_of(deployment, doubled))
    row = json.loads(raw) if raw else {}
    if "card" in row:
        return ModelCard.load(row["card"])
    if time.time() - float(row.get("at", 0)) > AGAIN:
        ask_for_card(store, deployment, doubled)
    if "error" in row:
        raise EmbedderError(row["error"])
    return None


def ask_for_card(store: Redis, deployment: Deployment, doubled: bool) -> None:
    """Ask an embedding worker to load the model and to write its card; asked twice while it waits is asked once."""
    job_id = f"labelqueue-model-{int(doubled)}"
    if not is_on_its_way(store, PAGE, job_id, alive(store)):
        queue(store, PAGE).enqueue(
            "labelqueue.worker.embedding.model_job",
            doubled,
            name_of(deployment, doubled),
            job_id=job_id,
            job_timeout=TIMEOUT,
            result_ttl=0,
            failure_ttl=60,
        )
