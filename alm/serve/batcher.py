"""Requests of several clients that arrive together are answered together. Sees requests and results, not what is in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence as Many
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from alm.api.errors import AlmError

Asked = TypeVar("Asked")
Given = TypeVar("Given")


class Batcher(Generic[Asked, Given]):
    """One batch is worked at by one thread; what arrives meanwhile is the next.

    Args:
        answer: of many at once, in their order.
        most: of a batch.
        wait_s: how long the first waits for others.
    """

    def __init__(self, answer: Callable[[list[Asked]], Many[Given]], most: int, wait_s: float) -> None:
        self.answer, self.most, self.wait_s = answer, most, wait_s
        self.queue: asyncio.Queue[tuple[Asked, asyncio.Future[Given]]] = asyncio.Queue()
        self.thread = ThreadPoolExecutor(1, "batch")
        self.task: asyncio.Task[None] | None = None

    async def ask(self, request: Asked) -> Given:
        """
        Raises:
            AlmError: what `answer` raises of this request; of others' it hears nothing.
        """
        if self.task is None:
            self.task = asyncio.create_task(self._work())
        future: asyncio.Future[Given] = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((request, future))
        return await future

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self.queue.get()]
            await asyncio.sleep(self.wait_s)
            while len(batch) < self.most and not self.queue.empty():
                batch.append(self.queue.get_nowait())
            batch = [(request, future) for request, future in batch if not future.done()]  # of a client who has left
            if not batch:
                continue
            found = await loop.run_in_executor(self.thread, self._answers, [request for request, _ in batch])
            for (_, future), given in zip(batch, found, strict=True):
                if future.done():
                    continue
                if isinstance(given, Exception):
                    future.set_exception(given)
                else:
                    future.set_result(given)

    def _answers(self, requests: list[Asked]) -> Many[Given | Exception]:
        """Of all at once; one by one if that fails, so that it fails for the one who caused it."""
        try:
            return self.answer(requests)
        except Exception as error:  # a future carries it to whoever asked
            if len(requests) == 1:
                return [error]
            return [self._answers([request])[0] for request in requests] if isinstance(error, AlmError) else [error] * len(requests)

    async def close(self) -> None:
        """Lets the batch that is being worked at end."""
        if self.task is not None:
            self.task.cancel()
        self.thread.shutdown(wait=True)
