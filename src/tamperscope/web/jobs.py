"""Pictures on their way through the pool, and the words for what may end them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tamperscope.web.problems import STATUS, ProblemError


@dataclass(frozen=True)
class Examined:
    """The answer to one picture."""

    body: bytes
    """JSON text, made by the worker."""
    queue_seconds: float
    run_seconds: float


@dataclass(eq=False)
class Job:
    """One picture on its way."""

    id: int
    method: str
    name: str
    data: bytes
    options: dict[str, Any]
    future: asyncio.Future[Examined]
    queued: float
    alone: bool = False
    """It was in a batch that killed a worker: whether it is the culprit shows when it runs by
    itself."""
    begun: bool = False
    """A worker had it in hand."""
    named: bool = True
    """The sender named the method; else any other would do as well."""
    losses: int = 0
    """How many workers were lost with it."""
    started: float = 0.0

    def head(self) -> dict[str, Any]:
        """What the worker is told."""
        length = len(self.data)
        return {"id": self.id, "name": self.name, "length": length, **self.options}

    def fail(self, problem: ProblemError) -> None:
        """Answer with a problem, unless there is an answer or nobody waits for one."""
        if not self.future.done():
            self.future.set_exception(problem)


class Abandoned:
    """Shortens a time limit once nobody waits for any of a batch's answers.

    A worker that ends sooner than a new one starts is let finish; its answers are dropped.
    """

    def __init__(self, batch: Sequence[Job], limit: asyncio.Timeout, patience: float) -> None:
        self._batch = batch
        self._limit = limit
        self._patience = patience
        self.abandoned = False
        self._open = True

    def __enter__(self) -> None:
        for job in self._batch:
            job.future.add_done_callback(self._check)

    def __exit__(self, *_: object) -> None:
        self._open = False
        for job in self._batch:
            job.future.remove_done_callback(self._check)

    def _check(self, _: asyncio.Future[Examined]) -> None:
        futures = [job.future for job in self._batch]
        # Those that have their answer wait no more either.
        waited_for = not all(future.done() for future in futures)
        someone_left = any(future.cancelled() for future in futures)
        if self.abandoned or waited_for or not someone_left or not self._open:
            return
        self.abandoned = True
        soon = asyncio.get_running_loop().time() + self._patience
        when = self._limit.when()
        self._limit.reschedule(soon if when is None else min(when, soon))


def checked(reply: dict[str, Any]) -> ProblemError:
    """What a worker says went wrong.

    Raises:
        ValueError: it says what our own code never says.
    """
    if reply["code"] not in STATUS:
        raise ValueError(f"unknown code {reply['code']!r}")
    return ProblemError(reply["code"], str(reply["message"]))


def died(loss: str) -> ProblemError:
    """The worker ended while it had the picture in hand."""
    return ProblemError(
        "worker_died",
        f"the process examining this picture died ({loss}): the file may be made to do that, or "
        "need more memory than a worker has",
    )


def stopping() -> ProblemError:
    """The service takes nothing any more."""
    return ProblemError(
        "shutting_down", "the service is stopping; try again when it is back", retry_after=10
    )
