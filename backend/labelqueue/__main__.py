"""`python -m labelqueue` is `labelqueue`."""

from .cli import program

program()
