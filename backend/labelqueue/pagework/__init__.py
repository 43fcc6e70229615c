"""The jobs that a page waits for: embedding workers do them, the page looks for the answer.

Imports `worker`, `admin`, `gallery`, `jobs`, `state`, `images`, `pixels`, `ordering`, `learning` and `labels`.
"""

from .answering import page_job

__all__ = ["page_job"]
