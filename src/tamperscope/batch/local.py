"""The engine of one machine: a thread for each worker process, and two queues."""

import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from tamperscope.batch.config import BatchConfig
from tamperscope.batch.keeper import Keeper
from tamperscope.batch.work import Finished, Task
from tamperscope.workers.settings import cores_here


class Engine(Protocol):
    """Whatever examines inputs. Used by one thread, the driver's."""

    def start(self) -> dict[str, Any]:
        """Get ready; returns how the first worker introduces itself.

        Raises:
            TamperscopeError: it cannot work.
        """
        ...

    @property
    def free(self) -> int:
        """How many more inputs it takes now."""
        ...

    def submit(self, task: Task) -> None:
        """Hand over an input; only while there is room."""
        ...

    def wait(self, seconds: float) -> list[Finished]:
        """Inputs finished since the last call; waits for one at most so long.

        Raises:
            TamperscopeError: it cannot go on.
        """
        ...

    def close(self) -> None:
        """End all workers; unfinished inputs are dropped."""
        ...


class LocalEngine:
    """One worker process per core.

    Args:
        config: of the run.
        known: whether the bytes with this sha256 have been answered; called from other threads.
        note: counts an event; called from other threads.
    """

    def __init__(
        self, config: BatchConfig, known: Callable[[str], bool], note: Callable[[str], None]
    ) -> None:
        self._config = config
        self._known = known
        self._note = note
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._found: queue.SimpleQueue[Finished | BaseException] = queue.SimpleQueue()
        self._keepers: list[Keeper] = []
        self._threads: list[threading.Thread] = []
        self._flying = 0
        self._closed = False

    def start(self) -> dict[str, Any]:
        """See `Engine.start`."""
        ready: queue.SimpleQueue[dict[str, Any] | BaseException] = queue.SimpleQueue()
        self._add(self._config.device, ready)
        first = ready.get()
        if isinstance(first, BaseException):
            raise first
        devices = self._devices(first)
        for device in devices[1:]:
            self._add(device, ready)
        for _ in devices[1:]:
            if isinstance(other := ready.get(), BaseException):
                raise other
        return first

    @property
    def free(self) -> int:
        """See `Engine.free`. One more than it works on waits for each worker."""
        return 2 * len(self._threads) - self._flying

    def submit(self, task: Task) -> None:
        """See `Engine.submit`."""
        self._flying += 1
        self._tasks.put(task)

    def wait(self, seconds: float) -> list[Finished]:
        """See `Engine.wait`."""
        found: list[Finished] = []
        try:
            found.append(self._take(self._found.get(timeout=seconds)))
            while True:
                found.append(self._take(self._found.get_nowait()))
        except queue.Empty:
            return found

    def close(self) -> None:
        """See `Engine.close`."""
        self._closed = True
        for _ in self._threads:
            self._tasks.put(None)
        for keeper in self._keepers:
            keeper.stop()
        for thread in self._threads:
            thread.join()

    def _take(self, found: Finished | BaseException) -> Finished:
        self._flying -= 1
        if isinstance(found, BaseException):
            raise found
        return found

    def _devices(self, first: dict[str, Any]) -> list[str]:
        """The device of every worker: all graphics devices in turn, where the method uses one."""
        gpus = first["gpus"] if self._config.device in ("auto", "cuda") else 0
        if not str(first["describe"].get("device", "cpu")).startswith("cuda") or not gpus:
            return [self._config.device] * (self._config.workers or cores_here())
        return [f"cuda:{i % gpus}" for i in range(self._config.workers or gpus)]

    def _add(self, device: str, ready: "queue.SimpleQueue[dict[str, Any] | BaseException]") -> None:
        keeper = Keeper(
            {**self._config.worker_settings(), "device": device},
            time_limit=self._config.time_limit,
            start_limit=self._config.start_limit,
            note=self._note,
        )
        thread = threading.Thread(target=self._work, args=(keeper, ready), daemon=True)
        self._keepers.append(keeper)
        self._threads.append(thread)
        thread.start()

    def _work(
        self, keeper: Keeper, ready: "queue.SimpleQueue[dict[str, Any] | BaseException]"
    ) -> None:
        """One thread: it starts its worker itself, because a worker ends with that thread."""
        try:
            ready.put(keeper.start())
        except BaseException as error:
            ready.put(error)
            return
        try:
            self._serve(keeper)
        finally:
            keeper.close()

    def _serve(self, keeper: Keeper) -> None:
        while not self._closed and (task := self._tasks.get()) is not None:
            try:
                begun = keeper.begin(task)
                if isinstance(begun, str):
                    begun = keeper.finish(not self._known(begun))
                self._found.put(begun)
            except BaseException as error:
                self._found.put(error)
                return
