"""The former place of `embed_job`, kept for one version: jobs that wait in Redis since before name it."""

from .worker.embedding import embed_job

__all__ = ["embed_job"]
