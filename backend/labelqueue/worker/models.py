"""What is known of embedding models in processes that do not load them: their cards, which embedding workers write; and
which of them a project has."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from typing import Any

from ..exceptions import EmbedderError
from ..images import FLOAT32, ModelCard
from ..jobs import EMBEDDING, PAGE, EmbedderChoice, alive, is_on_its_way, queue
from ..labels import Target
from ..settings import DEPLOYMENT, Deployment
from ..state import Project, Redis

__all__ = [
    "ask_for_card",
    "asked_for",
    "card_of",
    "chosen",
    "forget_cards",
    "has_rows",
    "identity_of",
    "keep_card",
    "keep_error",
    "name_of",
    "parameters_of",
    "precision_of",
    "refuse_other",
]

CARDS = "lq:models"  # hash: which model, in the settings' terms, to its card or to why there is none
TIMEOUT = 900  # seconds; the weights may have to be downloaded
AGAIN = 10.0  # seconds after which a model that could not be had is asked for again
FORMER = "vit_small_patch16_224.dino"  # what LABELQUEUE_EMBEDDER was by default before projects remembered theirs
FIELDS = 6  # of a card's name, seven where it has a precision; the version before had three


def parameters_of(target: Target, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what besides the model shapes the embeddings of a project."""
    n_patterns = settings["n_patterns"] or target.n_patterns
    if n_patterns == 1:  # the patterns are the CLS embedding: attention plays no part
        return {"n_patterns": 1}
    return {
        "n_patterns": n_patterns,
        "attention_ratio": settings["attention_ratio"],
        "neighborhood": settings["neighbourhood"],
    }


def chosen(project: Project, deployment: Deployment, target: Target) -> EmbedderChoice:
    """Return the embedder that a project is to have.

    The one that somebody set, from then on; else the one of the generation that serves, whatever the deployment gives
    new projects by now; else what the deployment gives them. One that was set and serves is kept as it is: other
    weights or another size of images are for who sets it again.
    """
    kept, wish = EmbedderChoice.load(project.get("embedder")), project.setting_choices().get("embedder")
    if wish is not None and wish.value:
        if kept is not None and (kept.model, kept.asked) == (wish.value, wish.at):
            return kept
        # The size that the deployment sets is that of its own embedder; the patches of another one may not divide it.
        size = deployment.image_size if wish.value == deployment.embedder else None
        return EmbedderChoice(wish.value, size, asked=wish.at)
    generation = project.get("generation")
    if generation and not has_rows(project, generation):
        return EmbedderChoice.offered(deployment)  # nothing is embedded yet
    if kept is None and generation:
        kept = _recalled(project, generation, parameters_of(target, project.settings())) or EmbedderChoice(
            FORMER if deployment.embedder == DEPLOYMENT["LABELQUEUE_EMBEDDER"].default else deployment.embedder
        )
    return kept or EmbedderChoice.offered(deployment)


def _recalled(project: Project, generation: str, parameters: dict[str, Any]) -> EmbedderChoice | None:
    """Return which of the models that are known made a generation, which the version before did not write down."""
    for name, raw in project.store.hgetall(CARDS).items():
        row = json.loads(raw)
        if "card" in row and (card := ModelCard.load(row["card"])).fingerprint(parameters) == generation:
            return identity_of(card, doubled=any(part is True for part in json.loads(name)))
    return None


def has_rows(project: Project, generation: str) -> bool:
    """Tell whether any image is embedded in a generation."""
    return bool(project.store.hlen(project.name("cache", generation, "rows")))


def identity_of(card: ModelCard, *, doubled: bool, asked: float = 0.0) -> EmbedderChoice:
    """Return which embedder a card is of, by its weights and the size of images before it is doubled."""
    precision = "" if card.precision == FLOAT32 else card.precision
    return EmbedderChoice(card.model, card.image_size // (2 if doubled else 1), card.weights, asked, precision)


def name_of(deployment: Deployment, doubled: bool, choice: EmbedderChoice | None = None) -> str:
    """Return the field of a model's card: which model is meant, and by which settings.

    Parameters
    ----------
    choice : EmbedderChoice, optional
        Default: that of new projects.
    """
    choice = choice or EmbedderChoice.offered(deployment)
    owner = [deployment.embedder, str(deployment.weights or "")]
    precision = [choice.precision] if choice.precision else []
    return json.dumps([choice.model, choice.image_size, choice.weights, doubled, *precision, *owner])


def asked_for(deployment: Deployment, asked: str) -> EmbedderChoice:
    """Return the model that a name means, one of the version before included."""
    parts = json.loads(asked) if asked else []
    if len(parts) >= FIELDS:
        return EmbedderChoice(parts[0], parts[1], parts[2], precision=parts[4] if len(parts) > FIELDS else "")
    return EmbedderChoice(parts[0]) if parts else EmbedderChoice.offered(deployment)


def precision_of(
    store: Redis, deployment: Deployment, doubled: bool, choice: EmbedderChoice | None = None
) -> str | None:
    """Return with which precision a model is to be loaded, None: as the device does it best.

    An embedder that serves says so. Of one that is new, the first worker decides that loads it: workers with a GPU and
    without one make the same vectors, never two generations in turn.
    """
    choice = choice or EmbedderChoice.offered(deployment)
    if choice.precision or choice.weights:
        return choice.precision or FLOAT32
    raw = store.hget(CARDS, name_of(deployment, doubled, choice))
    card = json.loads(raw).get("card") if raw else None
    return ModelCard.load(card).precision if card else None


def keep_card(
    store: Redis, deployment: Deployment, doubled: bool, card: ModelCard, choice: EmbedderChoice | None = None
) -> None:
    """Remember the card of a model that was loaded, under the name it was asked for and under what it turned out.

    Of workers whose minibatches differ, the largest is told: a shard of it has whole minibatches for each of them.
    """
    names = sorted({name_of(deployment, doubled, one) for one in (choice, identity_of(card, doubled=doubled))})
    told = [json.loads(json.loads(raw).get("card") or "{}") for raw in store.hmget(CARDS, names) if raw]
    card = replace(card, minibatch_size=max([card.minibatch_size, *(row.get("minibatch_size", 0) for row in told)]))
    store.hset(CARDS, mapping=dict.fromkeys(names, json.dumps({"card": card.dump()})))


def keep_error(
    store: Redis, deployment: Deployment, doubled: bool, error: EmbedderError, choice: EmbedderChoice | None = None
) -> None:
    """Remember why a model cannot be had, unless another worker that lives may have it."""
    name = name_of(deployment, doubled, choice)
    known = store.hget(CARDS, name)
    if known and "card" in json.loads(known) and len(alive(store, EMBEDDING)) > 1:
        return
    store.hset(CARDS, name, json.dumps({"error": str(error), "at": time.time()}))


def refuse_other(store: Redis, deployment: Deployment, asked: str) -> bool:
    """Say that the settings of who asked for a model are others than those of this embedding worker, if they are."""
    parts = json.loads(asked) if asked else []
    theirs = parts[-2:] if len(parts) >= FIELDS else parts[:2]  # the version before: model, weights, doubled
    mine = [deployment.embedder, str(deployment.weights or "")]
    if not parts or theirs == mine:
        return False
    why = (
        f"embedding workers are set to another model ({json.dumps(mine)}) than the tending one ({json.dumps(theirs)}): "
        "give both the same LABELQUEUE_EMBEDDER and LABELQUEUE_WEIGHTS"
    )
    store.hset(CARDS, asked, json.dumps({"error": why, "at": time.time()}))
    return True


def forget_cards(store: Redis, deployment: Deployment) -> None:
    """Forget what is known of models by these settings: the weights of before may be others now.

    What the version before wrote stays: it tells which model a project has that did not write it down.
    """
    mine = [deployment.embedder, str(deployment.weights or "")]
    names = [name for name in store.hkeys(CARDS) if (parts := json.loads(name))[-2:] == mine and len(parts) >= FIELDS]
    if names:
        store.hdel(CARDS, *names)


def card_of(
    store: Redis, deployment: Deployment, doubled: bool, choice: EmbedderChoice | None = None
) -> ModelCard | None:
    """Return the card of a model, or None while it is not known: then an embedding worker is asked for it, and every
    project has a look when it answers.

    Parameters
    ----------
    doubled : bool
        Whether the model looks at images of twice the size, as for segmentation.
    choice : EmbedderChoice, optional
        Which model. Default: that of new projects.

    Raises
    ------
    EmbedderError
        If the model cannot be had.
    """
    raw = store.hget(CARDS, name_of(deployment, doubled, choice))
    row = json.loads(raw) if raw else {}
    if "card" in row:
        return ModelCard.load(row["card"])
    if time.time() - float(row.get("at", 0)) > AGAIN:
        ask_for_card(store, deployment, doubled, choice)
    if "error" in row:
        raise EmbedderError(row["error"])
    return None


def ask_for_card(store: Redis, deployment: Deployment, doubled: bool, choice: EmbedderChoice | None = None) -> None:
    """Ask an embedding worker to load a model and to write its card; asked twice while it waits is asked once."""
    asked = name_of(deployment, doubled, choice)
    job_id = f"labelqueue-model-{hashlib.sha256(asked.encode()).hexdigest()[:16]}"
    if not is_on_its_way(store, PAGE, job_id, alive(store)):
        queue(store, PAGE).enqueue(
            "labelqueue.worker.embedding.model_job",
            doubled,
            asked,
            job_id=job_id,
            job_timeout=TIMEOUT,
            result_ttl=0,
            failure_ttl=60,
        )
