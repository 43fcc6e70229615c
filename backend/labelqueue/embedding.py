"""The former place of `embed_job`, which jobs still name: see `tending`."""

from .worker.embedding import embed_job

__all__ = ["embed_job"]
