"""What a backup holds: names of its parts, the facts that are taken along, and columns of tasks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..records import pack, unpack

__all__ = [
    "CAMPAIGN",
    "CURATION",
    "FACTS",
    "LEFT",
    "MEMORY_FACTS",
    "QUEUE_FACTS",
    "SETTINGS",
    "TASKS",
    "block_name",
    "dump_columns",
    "load_columns",
    "rows_name",
]

FACTS, SETTINGS, TASKS = "facts.json", "settings.json", "tasks.safetensors"
CURATION = "curation.json"  # pins and exclusions, and the acts that led there
TAG, FORMAT = "labelqueue_columns", "1"

# Facts of a project's `info` that are taken along: what was learned and how far it came, for any project.
MEMORY_FACTS = (
    "act_number", "arrivals", "arrivals_told", "embedder", "generation", "imported", "learned", "order_number",
    "rotation_generation", "standing",
)  # fmt: skip
# Those that belong to its queue in Label Studio: taken where it is the same project, and has no live order here.
QUEUE_FACTS = (
    "bulk_seconds", "hold", "live", "moving", "pause_wanted", "refilling", "refused_prelabels", "sampling_before",
    "served", "single_seconds", "tag", "tags",
)  # fmt: skip
# Those that are not: the secret first of all, addresses, and what the next look finds out, asks for or says anew.
LEFT = (
    "backend_title", "backend_url", "balance_field", "behind", "changes", "counted_at", "counts", "data_fields",
    "denied_at", "denied_since", "described", "described_at", "embedder_error", "embedder_offered", "embedder_wanted",
    "error", "features_error", "formats", "full_at", "head_left", "image_error", "image_field", "import_building",
    "label_config", "live_named", "minibatch", "organization", "paused", "people", "people_at", "prelabels_shown",
    "read_to", "reading", "remade", "resume_wanted", "retrain_wanted", "rollback_error", "rollback_wanted",
    "rotation_building", "schema", "secret", "set_aside", "settings_error", "settled", "setup_at", "stranger",
    "stranger_at", "swept", "tidied", "tidy_after", "title", "want_full", "watermark_at", "webhook_misses",
    "webhook_revived", "webhook_revived_at", "webhook_secured_at",
)  # fmt: skip

# Parts of a campaign's state (`CampaignState.dump`) and their names in the file.
CAMPAIGN: Mapping[str, str] = {
    "facts": "campaign/facts.json",
    "model": "campaign/model.safetensors",
    "outlook": "campaign/outlook.safetensors",
    "geometry": "campaign/geometry.safetensors",
}


def rows_name(generation: str) -> str:
    """Return the name of the part that says which images a generation of embeddings has."""
    return f"embeddings/{generation}/rows.safetensors"


def block_name(generation: str, block: str) -> str:
    """Return the name of a block of embeddings."""
    return f"embeddings/{generation}/{block}.safetensors"


def dump_columns(ids: NDArray[np.int64], sources: NDArray[np.uint64]) -> bytes:
    """Return task ids of shape (n,) and the hashes of their images' URIs as safetensors.

    Hashes, no URIs: an address may hold a signature, or be the image itself.
    """
    return pack({"ids": ids, "sources": sources}, TAG, FORMAT)


def load_columns(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return what `dump_columns` wrote, ids ascending; raises CacheError when it is damaged."""
    arrays, _ = unpack(data, TAG)
    order = np.argsort(arrays["ids"], kind="stable")
    return arrays["ids"][order], arrays["sources"][order]
