"""The queue and the workers: who examines which picture, and what happens when one of them dies."""

import asyncio
import itertools
import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tamperscope.web.config import MIB, ServeConfig
from tamperscope.web.jobs import Abandoned, Examined, Job, checked, died, stopping
from tamperscope.web.problems import ProblemError
from tamperscope.web.process import WorkerLostError, WorkerProcess, start_worker
from tamperscope.web.spares import Spares
from tamperscope.web.telemetry import Telemetry

log = logging.getLogger("tamperscope.web")

BATCH_BYTES = 4 * MIB
"""Only files that are small together are handed over at once: large ones gain nothing."""

_START_TRIES = 3
_LONGEST_PAUSE = 30.0
_LOSSES = 3
"""Workers that a picture may lose before it is given up."""


class Pool:
    """Worker processes behind one queue. Every method is called on the event loop."""

    def __init__(
        self,
        config: ServeConfig,
        telemetry: Telemetry,
        *,
        on_fatal: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._config = config
        self._telemetry = telemetry
        self._on_fatal = on_fatal
        self._waiting: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._ids = itertools.count()
        self._workers: set[WorkerProcess] = set()
        self._slots: list[asyncio.Task[None]] = []
        self._spares = Spares(self._started, telemetry)
        self._admitted = 0
        self._mean_seconds = 1.0
        self.cards: list[dict[str, Any]] = []
        """Of the methods that loaded; empty until the first worker is ready."""
        self.failures: dict[str, str] = {}
        """Method -> why it did not load."""
        self.fatal: str | None = None
        """Why the service cannot work at all."""
        self.draining = False

    @property
    def ready(self) -> bool:
        """Whether a picture sent now would be examined without waiting for a worker to start."""
        return bool(self._workers) and not self.draining

    def start(self) -> None:
        """Start the workers in the background."""
        count = self._config.worker_count
        self._slots = [asyncio.create_task(self._slot(), name=f"slot {i}") for i in range(count)]

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """A place in the queue, taken before the upload is read so that memory is bounded.

        Raises:
            ProblemError: the queue is full, or the service is stopping.
        """
        if self.draining:
            raise stopping()
        if self._admitted >= self._config.queue_size + self._config.worker_count:
            raise ProblemError(
                "queue_full",
                f"{self._admitted} pictures are already waiting or running; try again later",
                retry_after=self._retry_after(),
            )
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    async def submit(
        self,
        method: str,
        name: str,
        data: bytes,
        options: dict[str, Any],
        *,
        named: bool = True,
    ) -> Examined:
        """Have a picture examined. Cancelling the call withdraws the picture.

        Args:
            named: whether the sender asked for this method; if not, and it turns out not to load,
                another one takes its place.

        Raises:
            ProblemError: it cannot be read, took too long, or killed its worker; or the service
                is stopping.
        """
        if self.draining:
            raise stopping()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Examined] = loop.create_future()
        job = Job(next(self._ids), method, name, data, options, future, loop.time(), named=named)
        self._waiting.append(job)
        self._changed()
        try:
            examined = await job.future
        except asyncio.CancelledError:
            self._telemetry.pictures.labels(job.method, "cancelled").inc()
            if job in self._waiting:
                self._waiting.remove(job)
                self._changed()
            raise
        except ProblemError as problem:
            self._telemetry.pictures.labels(job.method, problem.code).inc()
            raise
        self._telemetry.pictures.labels(job.method, "examined").inc()
        return examined

    def drain(self) -> None:
        """Take nothing more: what runs is finished, what waits is sent away."""
        self.draining = True
        while self._waiting:
            self._waiting.popleft().fail(stopping())
        self._changed()

    async def stop(self) -> None:
        """End all workers now; call `drain` and wait for the answers first."""
        self.drain()
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        await self._spares.stop()

    # --- one worker after another ------------------------------------------------------------

    async def _slot(self) -> None:
        """Keep one worker alive, and busy."""
        while not self.draining:
            worker = self._spares.take() or await self._started()
            try:
                if self._introduce(worker):
                    await self._keep_busy(worker)
            except Exception:
                log.exception("worker %d is replaced after an unexpected error", worker.pid)
            finally:
                self._workers.discard(worker)
                self._telemetry.workers.set(len(self._workers))
                await worker.kill()

    async def _started(self) -> WorkerProcess:
        """A new worker, however many tries it takes."""
        for tries in itertools.count(1):
            try:
                return await start_worker(self._config)
            except (WorkerLostError, OSError) as loss:
                log.error("a worker did not start: %s", loss)
                if tries >= _START_TRIES and not self.cards:
                    self._give_up("workers do not start: the lines above say why")
                await asyncio.sleep(min(_LONGEST_PAUSE, 2.0**tries))
        raise AssertionError

    def _introduce(self, worker: WorkerProcess) -> bool:
        """Note what a new worker can do; False where that is not what was asked for."""
        failures = worker.failures
        if failures and (self._config.methods or not worker.cards):
            self._give_up("; ".join(failures.values()))
            return False
        self.cards, self.failures = worker.cards, failures
        self._settle_methods()
        self._workers.add(worker)
        self._telemetry.workers.set(len(self._workers))
        log.info("worker %d ready after %.1f s", worker.pid, worker.start_seconds)
        if len(self._workers) == self._config.worker_count:
            # Not before: spares must not slow down those that are waited for.
            self._spares.start(self._config.spare_workers)
        return True

    def _settle_methods(self) -> None:
        """See to the pictures that were sent for a method before it was known not to load."""
        for job in [job for job in self._waiting if job.method in self.failures]:
            if job.named:
                self._waiting.remove(job)
                job.fail(ProblemError("method_unavailable", self.failures[job.method]))
            else:
                job.method = self.cards[0]["name"]
        self._changed()

    def _give_up(self, message: str) -> None:
        if self.fatal is None:
            self.fatal = message
            self.drain()
            self._on_fatal(message)

    async def _keep_busy(self, worker: WorkerProcess) -> None:
        """Give a worker pictures until it is lost or the service stops."""
        reason = None
        while not self.draining and reason is None:
            await self._work_or_death(worker)
            if worker.exited.done():
                reason = "died"
            elif batch := self._take():
                reason = await self._run(worker, batch)
        if reason is not None:
            self._telemetry.lost.labels(reason).inc()

    async def _work_or_death(self, worker: WorkerProcess) -> None:
        """Wait until there is a picture, the worker has ended, or the service stops."""
        while not (self._waiting or self.draining or worker.exited.done()):
            self._arrived.clear()
            arrival = asyncio.ensure_future(self._arrived.wait())
            try:
                await asyncio.wait({arrival, worker.exited}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                arrival.cancel()

    def _take(self) -> list[Job]:
        """The longest-waiting picture, and small ones for the same method that fit beside it.

        Never more than a fair share: company must not keep the other workers from work.
        """
        batch: list[Job] = []
        size = 0
        most = min(self._config.batch_size, math.ceil(len(self._waiting) / len(self._workers)))
        for job in list(self._waiting):
            if batch and not self._fits(job, batch[0], size):
                continue
            self._waiting.remove(job)
            if job.future.done():  # withdrawn a moment ago
                continue
            batch.append(job)
            size += len(job.data)
            if len(batch) >= most or job.alone:
                break
        self._changed()
        return batch

    def _fits(self, job: Job, first: Job, size: int) -> bool:
        small = size + len(job.data) <= BATCH_BYTES
        return small and job.method == first.method and not job.alone

    # --- one batch ---------------------------------------------------------------------------

    async def _run(self, worker: WorkerProcess, batch: list[Job]) -> str | None:
        """Have a batch examined; returns why the worker was lost, if it was."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for job in batch:
            job.started = now
            self._telemetry.queued_seconds.observe(now - job.queued)
        self._telemetry.batches.observe(len(batch))
        self._telemetry.running.inc(len(batch))
        try:
            async with asyncio.timeout(self._config.time_limit) as limit:
                watch = Abandoned(batch, limit, worker.start_seconds)
                with watch:
                    await self._exchange(worker, batch)
            return None
        except TimeoutError:
            if watch.abandoned:
                return "cancelled"
            seconds = f"{self._config.time_limit:g} s"
            message = f"the picture took longer than {seconds}; make it smaller first"
            self._after_loss(batch, ProblemError("time_limit", message))
            return "time_limit"
        except WorkerLostError as loss:
            log.error("worker %d lost (%s) with %d picture(s)", worker.pid, loss, len(batch))
            self._after_loss(batch, died(str(loss)))
            return "died"
        except (LookupError, TypeError, ValueError) as error:
            # Not what our own code sends: a picture may have taken the worker over.
            log.error("worker %d sent nonsense (%r)", worker.pid, error)
            self._after_loss(batch, died("it sent nonsense"))
            return "died"
        finally:
            self._telemetry.running.dec(len(batch))

    async def _exchange(self, worker: WorkerProcess, batch: Sequence[Job]) -> None:
        jobs = {job.id: job for job in batch}
        head = {"method": batch[0].method, "jobs": [job.head() for job in batch]}
        await worker.send(head, [job.data for job in batch])
        await worker.receive()
        for job in batch:
            job.begun = True
        loop = asyncio.get_running_loop()
        while jobs:
            reply, body = await worker.receive()
            job = jobs.pop(reply["id"])
            seconds = loop.time() - job.started
            if "code" in reply:
                job.fail(checked(reply))
            elif not job.future.done():
                waited = job.started - job.queued
                job.future.set_result(Examined(body, waited, seconds))
                self._telemetry.run_seconds.labels(job.method).observe(seconds)
        self._mean_seconds += 0.2 * (seconds / len(batch) - self._mean_seconds)

    def _after_loss(self, batch: Sequence[Job], problem: ProblemError) -> None:
        """Report the culprit; where there are several suspects, try each by itself.

        A worker that was lost before it began on them was lost for another reason.
        """
        unanswered = [job for job in batch if not job.future.done()]
        begun = any(job.begun for job in batch)
        if self.draining or (len(batch) == 1 and begun):
            for job in unanswered:
                job.fail(problem)
            return
        for job in reversed(unanswered):
            job.losses += 1
            if job.losses >= _LOSSES:
                # Time and again before it was begun on: it cannot even be handed over.
                job.fail(problem)
                continue
            job.alone, job.begun = begun or job.losses > 1, False
            self._waiting.appendleft(job)
        self._changed()

    def _changed(self) -> None:
        self._telemetry.waiting.set(len(self._waiting))
        self._arrived.set()

    def _retry_after(self) -> int:
        seconds = self._mean_seconds * self._admitted / self._config.worker_count
        return max(1, min(60, math.ceil(seconds / 2)))
