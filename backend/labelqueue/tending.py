"""The former place of `tend_job`, which jobs still name: so workers of this version and of 0.1.0 run each other's jobs.

The next version can name its present place, and the one after can do without this module.
"""

from .worker.look import tend_job

__all__ = ["tend_job"]
