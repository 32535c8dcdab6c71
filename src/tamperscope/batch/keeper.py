"""Keeps one worker alive: hands it inputs, ends it when it hangs, replaces it when it is lost."""

import dataclasses
import re
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tamperscope.batch.work import DIED, KILLED, TIME_LIMIT, Answer, Finished, Task, failure, heard
from tamperscope.errors import TamperscopeError
from tamperscope.workers.process import WorkerLostError, WorkerProcess

MODULE = "tamperscope.batch.worker"

_START_TRIES = 3
_RETRIES = 1
# Sent by people, schedulers and a kernel short of memory; a picture makes none of these.
_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class Keeper:
    """One worker, whichever process it currently is.

    Args:
        settings: `BatchConfig.worker_settings`.
        time_limit: seconds an input may take, reading included.
        start_limit: seconds a worker may take to load the method.
        note: called with ``worker replaced: REASON`` whenever that happens.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        time_limit: float,
        start_limit: float,
        note: Callable[[str], None],
    ) -> None:
        self._settings = dict(settings)
        self._time_limit = time_limit
        self._start_limit = start_limit
        self._note = note
        self._process: WorkerProcess | None = None
        self._stopped = False
        self._task: Task | None = None
        self._digest: str | None = None
        self._until = 0.0
        self._left = 0.0
        self._retries = 0
        self._described: Any = None

    def start(self) -> dict[str, Any]:
        """Have a worker ready; returns how it introduces itself.

        Raises:
            TamperscopeError: the method cannot be loaded, is another one than before, or workers
                do not start.
        """
        for left in reversed(range(_START_TRIES)):
            self._process = WorkerProcess(MODULE)
            if self._stopped:
                self._process.signal_end()
            until = time.monotonic() + self._start_limit
            try:
                self._process.send(self._settings, b"", until=until)
                introduction, _ = self._process.receive(until=until)
            except WorkerLostError as loss:
                self.close()
                if not left or self._stopped:
                    raise TamperscopeError(
                        f"workers do not start ({loss}); the lines above say why"
                    ) from loss
                continue
            except BaseException:
                self.close()
                raise
            if "failure" in introduction:
                self.close()
                raise heard(introduction)
            self._check_same(introduction.get("describe"))
            return introduction
        raise AssertionError("the last try returns or raises")

    def _check_same(self, described: Any) -> None:
        """A file that was exchanged under its name must not change the answers within a run."""
        if self._described is not None and described != self._described:
            self.close()
            raise TamperscopeError(
                "the weights of the method were exchanged while it ran; put the former file back "
                "and give the same command, or begin another run"
            )
        self._described = described

    @property
    def pid(self) -> int | None:
        """The worker's process id."""
        return self._process.pid if self._process else None

    def begin(self, task: Task) -> Finished | str:
        """Have an input read: the sha256 of its bytes, or the end of it."""
        self._task, self._retries = task, 0
        read = self._persist(self._read)
        self._left = self._until - time.monotonic()
        return read

    def finish(self, wanted: bool) -> Finished:
        """Have the input that was begun examined, or drop it because its answer is known."""
        # Time that passed since the reading was not this input's.
        self._until = time.monotonic() + self._left
        found = self._persist(partial(self._examine, wanted))
        assert isinstance(found, Finished)
        return found

    def stop(self) -> None:
        """End the worker for good, from another thread: whatever runs here fails soon."""
        self._stopped = True
        if (process := self._process) is not None:
            process.signal_end()

    def close(self) -> None:
        """End the worker."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _persist(self, step: Callable[[], Finished | str]) -> Finished | str:
        while True:
            try:
                if self._process is None or self._process.ended:
                    self._replace("died while idle")
                return step()
            except WorkerLostError as loss:
                if self._stopped:
                    raise TamperscopeError("the engine was stopped; start it again") from loss
                if (answer := self._after(loss)) is not None:
                    return self._finished(answer)

    def _read(self) -> Finished | str:
        assert self._task is not None
        assert self._process is not None
        self._digest = None
        self._until = time.monotonic() + self._time_limit
        self._process.send(self._task.head(), self._task.data or b"", until=self._until)
        reply, _ = self._process.receive(until=self._until)
        if "answer" in reply:
            return self._finished(self._checked(reply))
        self._digest = str(reply.get("sha256"))
        if re.fullmatch(r"[0-9a-f]{64}", self._digest) is None:
            raise WorkerLostError("it sent nonsense")
        return self._digest

    def _examine(self, wanted: bool) -> Finished | str:
        assert self._process is not None
        if self._digest is None:  # the worker that had read it is gone
            reread = self._read()
            if isinstance(reread, Finished):
                return reread
        assert self._task is not None
        self._process.send({"wanted": wanted}, b"", until=self._until)
        if not wanted:
            return Finished(self._task, None, self._digest)
        reply, mask = self._process.receive(until=self._until)
        return self._finished(self._checked(reply), mask)

    def _checked(self, reply: dict[str, Any]) -> Answer:
        try:
            return Answer.checked(reply["answer"])
        except (LookupError, TypeError, ValueError) as error:
            # Not what our own code sends: a picture may have taken the worker over.
            raise WorkerLostError("it sent nonsense") from error

    def _finished(self, answer: Answer, mask: bytes = b"") -> Finished:
        assert self._task is not None
        answer = dataclasses.replace(answer, retries=self._retries)
        return Finished(self._task, answer, answer.sha256, mask)

    def _after(self, loss: WorkerLostError) -> Answer | None:
        """Replace the worker; the answer for its input, or None where it deserves another try."""
        digest = self._digest
        self._replace("took too long" if loss.late else str(loss))
        if loss.late:
            limit = f"{self._time_limit:g} s"
            message = f"took longer than {limit}; raise --timeout, or make it smaller first"
            return failure(TIME_LIMIT, message, sha256=digest)
        if loss.by_signal in _FROM_OUTSIDE:
            if self._retries < _RETRIES:
                self._retries += 1
                return None
            message = (
                f"its worker was {loss} twice: by somebody, or because the machine ran out of "
                "memory; use fewer --workers, or run it again elsewhere"
            )
            return failure(KILLED, message, sha256=digest)
        message = f"the process examining it died ({loss}): the file may be made to do that"
        return failure(DIED, message, sha256=digest)

    def _replace(self, reason: str) -> None:
        self.close()
        self._digest = None
        self._note(f"worker replaced: {reason}")
        self.start()
