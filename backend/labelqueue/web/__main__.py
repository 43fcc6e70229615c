"""`python -m labelqueue.web` is one web process; `labelqueue serve` starts it beside the workers."""

import logging
import sys

from ..exceptions import LabelQueueError
from ..settings import Deployment
from .server import run

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        run(Deployment.from_environment())
    except LabelQueueError as error:
        sys.exit(f"labelqueue: {error}")
