"""`python -m labelqueue` is `labelqueue`."""

import sys

from .cli.parser import main

sys.exit(main())
