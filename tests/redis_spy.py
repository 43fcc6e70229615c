"""What is sent to Redis, watched: commands on many items, and readings of whole keys that grow with a project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.connection import AbstractConnection

WHOLE = {"HGETALL", "HKEYS", "HVALS", "SMEMBERS", "KEYS", "DEL", "SORT"}  # commands whose cost grows with the key
RANGES = {"LRANGE", "ZRANGE", "XRANGE"}  # whose cost grows with what they return
# What does not grow with the number of tasks or labels: facts, settings, parts of a model, kinds of records, shards at
# workers, the projects; and single values.
BOUNDED = re.compile(
    r"lq:projects$|lq:models$|lq:worker:|lq:.*:(info|settings|campaign(:2)?|orders(:2)?|unreadable|inflight|queued|tending|lock)$|rq:"
)


class Spy:
    """Commands that were sent, and what is wrong with some of them."""

    def __init__(self, most: int) -> None:
        self.most, self.sent, self.wrong = most, 0, []

    def see(self, command: tuple[Any, ...]) -> None:
        words = [part.decode(errors="replace") if isinstance(part, bytes) else str(part) for part in command]
        name, rest = words[0].split()[0].upper(), [word for word in words[1:] if word != "NX"]
        self.sent += 1
        if name == "EVAL":  # what a script is given besides its keys
            rest = rest[2 + int(rest[1]) :]
        if len(rest) - 1 > {"HSET": 2, "ZADD": 2, "EVAL": 3}.get(name, 1) * self.most:
            self.wrong.append(f"{name} {rest[0]} with {len(rest) - 1} arguments")
        if name in WHOLE and not all(BOUNDED.match(key) for key in rest):
            self.wrong.append(f"{name} {rest}")
        whole = rest[1:3] in (["0", "-1"], ["-", "+"]) and "COUNT" not in rest
        if name in RANGES and whole and not BOUNDED.match(rest[0]):
            self.wrong.append(f"{name} {rest}")
        if name == "HSCAN" and int(rest[rest.index("COUNT") + 1]) > self.most:
            self.wrong.append(f"HSCAN {rest}")


@contextmanager
def watched(most: int) -> Iterator[Spy]:
    """Watch every command of this process; none may have more than so many items."""
    spy = Spy(most)
    send, pack = AbstractConnection.send_command, AbstractConnection.pack_commands

    def send_command(self: Any, *args: Any, **options: Any) -> Any:
        spy.see(args)
        return send(self, *args, **options)

    def pack_commands(self: Any, commands: Any) -> Any:
        commands = list(commands)
        for command in commands:
            spy.see(command)
        return pack(self, commands)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AbstractConnection, "send_command", send_command)
        patch.setattr(AbstractConnection, "pack_commands", pack_commands)
        yield spy
