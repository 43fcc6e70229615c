"""`python -m labelqueue` is `labelqueue`."""

import sys

from .cli import main

sys.exit(main())
