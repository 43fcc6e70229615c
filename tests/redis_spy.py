"""What is sent to Redis and comes back, watched and counted: commands on many items, readings of whole keys that grow
with a project, and what a call costs, whatever the machine's speed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from redis.connection import AbstractConnection

WHOLE = {"HGETALL", "HKEYS", "HVALS", "SMEMBERS", "KEYS", "DEL", "SORT"}  # commands whose cost grows with the key
RANGES = {"LRANGE", "ZRANGE", "XRANGE"}  # whose cost grows with what they return
# What does not grow with the number of tasks or labels: facts, settings, parts of a model, kinds of records, shards at
# workers, the projects; and single values.
BOUNDED = re.compile(
    r"lq:projects$|lq:models$|lq:worker:|lq:.*:(info|settings|campaign(:[23])?|orders(:2)?|unreadable|inflight|queued|tending|lock)$|rq:"
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


@dataclass
class Spent:
    """What went to Redis and came back.

    Attributes
    ----------
    commands : int
    items : int
        Values that came back: fields, members, numbers.
    sent, received : int
        Bytes of the commands' words, and of the values.
    """

    commands: int = 0
    items: int = 0
    sent: int = 0
    received: int = 0

    def take(self, answer: Any) -> None:
        if isinstance(answer, dict):
            answer = [part for pair in answer.items() for part in pair]
        if isinstance(answer, list | tuple | set):
            for part in answer:
                self.take(part)
        elif answer is not None:
            self.items += 1
            self.received += len(answer) if isinstance(answer, bytes | str) else 8


@contextmanager
def counted() -> Iterator[Spent]:
    """Count what this process asks of Redis."""
    spent = Spent()
    send, pack = AbstractConnection.send_command, AbstractConnection.pack_commands
    read = AbstractConnection.read_response

    def see(command: tuple[Any, ...]) -> None:
        spent.commands += 1
        spent.sent += sum(len(part) if isinstance(part, bytes | str) else len(str(part)) for part in command)

    def send_command(self: Any, *args: Any, **options: Any) -> Any:
        see(args)
        return send(self, *args, **options)

    def pack_commands(self: Any, commands: Any) -> Any:
        commands = list(commands)
        for command in commands:
            see(command)
        return pack(self, commands)

    def read_response(self: Any, *args: Any, **options: Any) -> Any:
        answer = read(self, *args, **options)
        spent.take(answer)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AbstractConnection, "send_command", send_command)
        patch.setattr(AbstractConnection, "pack_commands", pack_commands)
        patch.setattr(AbstractConnection, "read_response", read_response)
        yield spent
