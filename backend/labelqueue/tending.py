"""The former place of `tend_job`, kept for one version: jobs that wait in Redis since before name it."""

from .worker.look import tend_job

__all__ = ["tend_job"]
