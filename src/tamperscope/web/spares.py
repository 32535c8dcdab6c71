"""Workers that have loaded their methods and wait for another one to be lost."""

import asyncio
from collections.abc import Awaitable, Callable

from tamperscope.web.process import WorkerProcess
from tamperscope.web.telemetry import Telemetry


class Spares:
    """Warm workers, each replaced by the next once it is taken or has died."""

    def __init__(
        self, started: Callable[[], Awaitable[WorkerProcess]], telemetry: Telemetry
    ) -> None:
        self._started = started
        self._telemetry = telemetry
        self._ready: dict[WorkerProcess, asyncio.Event] = {}
        self._keepers: list[asyncio.Task[None]] = []

    def start(self, count: int) -> None:
        """Keep that many in the background; a second call changes nothing."""
        if not self._keepers:
            self._keepers = [asyncio.create_task(self._keep()) for _ in range(count)]

    def take(self) -> WorkerProcess | None:
        """A living worker, which is the caller's from now on; None where none is ready."""
        for worker, taken in list(self._ready.items()):
            if not worker.exited.done():
                self._forget(worker)
                taken.set()
                return worker
        return None

    async def stop(self) -> None:
        """End them all."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _keep(self) -> None:
        """Have one worker ready, one after another."""
        while True:
            worker = await self._started()
            taken = asyncio.Event()
            self._ready[worker] = taken
            self._count()
            leaving = asyncio.ensure_future(taken.wait())
            try:
                await asyncio.wait({leaving, worker.exited}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                leaving.cancel()
                if not taken.is_set():
                    self._forget(worker)
                    await worker.kill()

    def _forget(self, worker: WorkerProcess) -> None:
        del self._ready[worker]
        self._count()

    def _count(self) -> None:
        self._telemetry.spares.set(len(self._ready))
