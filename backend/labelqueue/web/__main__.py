"""`python -m labelqueue.web` is one web process; `labelqueue serve` starts it beside the workers."""

import logging
import sys

from ..exceptions import LabelQueueError
from ..settings import Deployment
from ..telemetry import say, set_up_logs
from .server import run

if __name__ == "__main__":
    try:
        set_up_logs(logging.WARNING)
        run(Deployment.from_environment())
    except LabelQueueError as error:
        say(f"labelqueue: {error}", logging.ERROR)
        sys.exit(1)
