"""How many requests are answered at a time and how many may wait: one more is told to come again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from alm.serve.errors import Refused

RETRY_S = 5


class Admission:
    """
    Args:
        running, waiting: see ServeOptions.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self.most, self.places, self.inside = running + waiting, asyncio.Semaphore(running), 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Waits for one, and gives it back at the end, however that comes.

        Raises:
            Refused: too many wait (429).
        """
        if self.inside >= self.most:
            raise Refused(429, f"got more than {self.most} requests at a time", "", "send it again later", retry_s=RETRY_S)
        self.inside += 1
        try:
            async with self.places:
                yield
        finally:
            self.inside -= 1
