"""The processes behind the queue: looks at projects, embedding, housekeeping, and the supervisor that keeps them up.

Imports `publishing`, `reading`, `metrics`, `gallery`, `jobs`, `state`, `images`, `labelstudio` and what is below.
"""

from .embedding import embed_job, gathered, model_job
from .feeding import missing_images
from .look import tend_job
from .runtime import Runtime, current
from .supervisor import serve, work
from .worker import run_worker

__all__ = [
    "Runtime",
    "current",
    "embed_job",
    "gathered",
    "missing_images",
    "model_job",
    "run_worker",
    "serve",
    "tend_job",
    "work",
]
