"""Callers that hold a line each: 200 drip headers, 50 drip a body, 200 keep it. `python -m chaos.slow_callers PORT`"""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import suppress

HEAD = b"POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
# What is sent at first, then again and again, how often, and by how many.
KINDS = (
    (HEAD + b"X-Slow: ", b"1", 0.5, 200),
    (HEAD + b"Content-Length: 60000\r\n\r\n", b" ", 0.5, 50),
    (b"", HEALTH, 3.0, 200),
)


async def hold(port: int, first: bytes, more: bytes, pause: float) -> None:
    await asyncio.sleep(3 * random.random())  # not all at the same moment
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(first)
            while True:
                await asyncio.sleep(pause)
                writer.write(more)
                await writer.drain()
        await asyncio.sleep(0.5)


async def main() -> None:
    port = int(sys.argv[1])
    await asyncio.gather(*(hold(port, *kind) for *kind, many in KINDS for _ in range(many)))


if __name__ == "__main__":
    asyncio.run(main())
