"""Writing to Label Studio: what was decided is published, people are given way to, old orders are tidied up.

Imports `reading`, `jobs`, `state`, `labelstudio` and what is below; every write is preceded by a look at the project's
lock.
"""

from .connecting import connected, secure_webhook
from .execution import RefillError, carry_out
from .publishing import Publisher
from .steering import steer
from .tidying import tidy

__all__ = ["Publisher", "RefillError", "carry_out", "connected", "secure_webhook", "steer", "tidy"]
