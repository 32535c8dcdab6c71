"""The engine of a cluster: Ray actors, each with a worker process of its own.

An actor decodes nothing: it keeps a worker as the local engine does, with the same limits, and
passes on what it says. So a picture that kills its worker costs no actor.
"""

import dataclasses
import logging
import math
import os
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tamperscope.batch.config import BatchConfig
from tamperscope.batch.keeper import Keeper
from tamperscope.batch.work import KILLED, Answer, Finished, Task, failure, heard, told
from tamperscope.errors import ConfigError, TamperscopeError, missing_extra
from tamperscope.workers.settings import cores_here

_RETRIES = 1
_GRACE = 60.0
_STARTS = 3
"""How often an actor may be lost before the first worker is there."""
_LOST = "worker replaced: its Ray actor was lost"


class Examiner:
    """The actor: a keeper that can be asked from another machine.

    Args:
        settings: `BatchConfig.worker_settings`.
        time_limit, start_limit: as for `Keeper`.
    """

    def __init__(self, settings: dict[str, Any], time_limit: float, start_limit: float) -> None:
        self._notes: list[str] = []
        self._keeper = Keeper(
            settings, time_limit=time_limit, start_limit=start_limit, note=self._notes.append
        )

    def start(self) -> dict[str, Any]:
        """How the worker introduces itself, or ``failure``."""
        return self._reply(lambda: {"introduction": self._keeper.start()})

    def begin(self, head: dict[str, Any], data: bytes) -> dict[str, Any]:
        """Read an input: ``sha256`` of its bytes, or the end of it."""
        return self._reply(lambda: _told(self._keeper.begin(Task.from_head(head, data))))

    def finish(self, wanted: bool) -> dict[str, Any]:
        """Examine or drop what was begun."""
        return self._reply(lambda: _told(self._keeper.finish(wanted)))

    def pid(self) -> int:
        """Of the process this actor is."""
        return os.getpid()

    def _reply(self, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            reply = action()
        except TamperscopeError as error:
            reply = dict(told(error))
        notes = list(self._notes)
        self._notes.clear()
        return {**reply, "notes": notes}


def _told(found: Finished | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"begun": found}
    answer = None if found.answer is None else dataclasses.asdict(found.answer)
    return {"answer": answer, "sha256": found.sha256, "mask": found.mask}


@dataclass(eq=False)
class _Slot:
    """A place for an actor, and what it does."""

    actor: Any
    task: Task | None = None


@dataclass(frozen=True)
class _Call:
    slot: _Slot
    until: float
    """Later than this the actor itself hangs."""


class RayEngine:
    """Actors on a Ray cluster, or on this machine where no address is given.

    Args:
        config: of the run.
        known: whether the bytes with this sha256 have been answered.
        note: counts an event.
    """

    def __init__(
        self, config: BatchConfig, known: Callable[[str], bool], note: Callable[[str], None]
    ) -> None:
        try:
            # Ray would report that it runs, and to whom is not for us to decide.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            import ray
        except ImportError as error:
            raise missing_extra("--engine ray", "ray") from error
        self._ray: Any = ray
        self._config = config
        self._known = known
        self._note = note
        self._slots: list[_Slot] = []
        self._idle: deque[_Slot] = deque()
        self._queue: deque[Task] = deque()
        self._calls: dict[Any, _Call] = {}
        self._retries: Counter[str] = Counter()
        self._flying = 0
        self._owns_ray = False

    def start(self) -> dict[str, Any]:
        """See `Engine.start`."""
        self._connect()
        for _ in range(self._count()):
            self._slots.append(_Slot(None))
            self._fill(self._slots[-1])
        last = ""
        for _ in range(_STARTS * len(self._slots)):
            ready, _ = self._ray.wait(list(self._calls), num_returns=1)
            slot = self._calls.pop(ready[0]).slot
            try:
                reply = self._heard(ready[0])
            except self._ray.exceptions.RayActorError as error:
                last = " ".join(str(error).split())[:300]
                self._replace(slot)
                continue
            self._idle.append(slot)
            return dict(reply["introduction"])
        raise TamperscopeError(
            f"no worker started ({last}); check that tamperscope is installed on every machine of "
            "the cluster"
        )

    @property
    def free(self) -> int:
        """See `Engine.free`."""
        return 2 * len(self._slots) - self._flying

    def submit(self, task: Task) -> None:
        """See `Engine.submit`."""
        self._flying += 1
        self._queue.append(task)
        self._dispatch()

    def wait(self, seconds: float) -> list[Finished]:
        """See `Engine.wait`."""
        self._ray.wait(list(self._calls), num_returns=1, timeout=seconds)
        ready, pending = self._ray.wait(
            list(self._calls), num_returns=len(self._calls), timeout=0, fetch_local=False
        )
        found = [finished for reference in ready if (finished := self._settle(reference))]
        now = time.monotonic()
        for reference in pending:
            call = self._calls[reference]
            if now > call.until:
                self._ray.kill(call.slot.actor)
        self._flying -= len(found)
        self._dispatch()
        return found

    def close(self) -> None:
        """See `Engine.close`."""
        for slot in self._slots:
            if slot.actor is not None:
                self._ray.kill(slot.actor)
        if self._owns_ray:
            self._ray.shutdown()

    # --- the cluster ---------------------------------------------------------------------------

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        options: dict[str, Any] = {"logging_level": logging.ERROR}
        if self._config.ray_address is None:
            options |= {
                "num_cpus": self._config.workers or cores_here(),
                "include_dashboard": False,
            }
        try:
            self._ray.init(address=self._config.ray_address, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"Ray cannot be used ({reason}); check --ray-address") from error
        self._owns_ray = True

    def _count(self) -> int:
        """How many actors: as asked, else as many as the cluster has room for."""
        if self._config.workers:
            return self._config.workers
        there: dict[str, float] = self._ray.cluster_resources()
        if gpus := self._config.gpus_per_worker:
            return max(1, math.floor(there.get("GPU", 0) / gpus))
        return max(1, int(there.get("CPU", 1)))

    def _fill(self, slot: _Slot) -> None:
        """Start an actor; it is idle once it has a worker."""
        config = self._config
        kind = self._ray.remote(
            num_cpus=1, num_gpus=config.gpus_per_worker, max_restarts=0, max_task_retries=0
        )(Examiner)
        settings = config.worker_settings()
        slot.actor = kind.remote(settings, config.time_limit, config.start_limit)
        # Without a limit: a cluster that lost a machine may need long to get another.
        self._calls[slot.actor.start.remote()] = _Call(slot, math.inf)

    def _replace(self, slot: _Slot) -> None:
        self._note(_LOST)
        self._fill(slot)

    # --- one input -----------------------------------------------------------------------------

    def _dispatch(self) -> None:
        while self._idle and self._queue:
            slot, task = self._idle.popleft(), self._queue.popleft()
            slot.task = task
            self._call(slot, slot.actor.begin.remote(task.head(), task.data or b""))

    def _call(self, slot: _Slot, reference: Any) -> None:
        # One retry and a new worker fit in before the actor itself must be at fault.
        patience = 2 * (self._config.time_limit + self._config.start_limit) + _GRACE
        self._calls[reference] = _Call(slot, time.monotonic() + patience)

    def _settle(self, reference: Any) -> Finished | None:
        """Take a reply: the end of an input, or None where it goes on."""
        slot = self._calls.pop(reference).slot
        try:
            reply = self._heard(reference)
        except self._ray.exceptions.RayActorError:
            return self._after_loss(slot)
        if "begun" in reply:
            self._call(slot, slot.actor.finish.remote(not self._known(reply["begun"])))
            return None
        task, slot.task = slot.task, None
        self._idle.append(slot)
        if task is None:  # it has just started
            return None
        answer = None if reply["answer"] is None else Answer.checked(reply["answer"])
        if answer is not None and (retries := self._retries.pop(task.key, 0)):
            answer = dataclasses.replace(answer, retries=answer.retries + retries)
        return Finished(task, answer, reply["sha256"], reply["mask"])

    def _heard(self, reference: Any) -> dict[str, Any]:
        reply: dict[str, Any] = self._ray.get(reference)
        for event in reply["notes"]:
            self._note(event)
        if "failure" in reply:
            raise heard(reply)
        return reply

    def _after_loss(self, slot: _Slot) -> Finished | None:
        """Put another actor in place; its input is tried once more."""
        task, slot.task = slot.task, None
        self._replace(slot)
        if task is None:
            return None
        if self._retries[task.key] < _RETRIES:
            self._retries[task.key] += 1
            self._queue.appendleft(task)
            return None
        message = "the Ray actor examining it was lost twice; look at the cluster's own log"
        return Finished(task, failure(KILLED, message, retries=self._retries.pop(task.key)), None)
