"""The owner's side: start a worker, talk to it under a time limit, end it."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from tamperscope.workers import frames
from tamperscope.workers.child import THREAD_VARIABLES

_PIECE = 1 << 18
_LAST_WORDS = 1.0
_LONGEST_WAIT = 1e6
"""Seconds; a poll counts milliseconds in 31 bits."""


class WorkerLostError(Exception):
    """The process ended, broke the protocol or ran out of time; says how."""

    def __init__(self, how: str, *, by_signal: int = 0, late: bool = False) -> None:
        super().__init__(how)
        self.by_signal = by_signal
        """The signal that ended it; 0 where it ended in another way."""
        self.late = late
        """It did not answer in time, and was killed for that."""


class WorkerProcess:
    """``python -m module`` on the other end of two pipes.

    Args:
        module: what to run; it talks as `tamperscope.workers.frames` says.
        threads: of the numeric libraries in it.
    """

    def __init__(self, module: str, *, threads: int = 1) -> None:
        self._process = subprocess.Popen(
            # Without the current folder on the search path: no file there may become a module.
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **{name: str(threads) for name in THREAD_VARIABLES}},
            # A Ctrl-C is for the owner.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._sink, self._source = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._sink, False)
        os.set_blocking(self._source, False)
        self._arrived = frames.Assembler()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def send(self, head: Mapping[str, Any], body: bytes, *, until: float) -> None:
        """Hand over a message before the clock (`time.monotonic`) shows ``until``.

        Raises:
            WorkerLostError: it has ended, or takes nothing.
        """
        left = memoryview(frames.pack(head, body))
        while left:
            self._wait(self._sink, select.POLLOUT, until)
            try:
                left = left[os.write(self._sink, left[:_PIECE]) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._loss() from error

    def receive(self, *, until: float) -> tuple[dict[str, Any], bytes]:
        """The next message, before the clock (`time.monotonic`) shows ``until``.

        Raises:
            WorkerLostError: it has ended, takes too long, or sent what is no message.
        """
        while True:
            try:
                if (message := self._arrived.take()) is not None:
                    return message
                self._wait(self._source, select.POLLIN, until)
                piece = os.read(self._source, _PIECE)
            except BlockingIOError:
                continue
            except (OSError, frames.BrokenFrameError) as error:
                raise self._loss() from error
            if not piece:
                raise self._loss()
            self._arrived.feed(piece)

    def signal_end(self) -> None:
        """Have it end; may be called from any thread."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def kill(self) -> None:
        """End it, whatever it does; returns when it is gone."""
        self.signal_end()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _wait(self, descriptor: int, event: int, until: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        # Longer than poll can count is waited for bit by bit.
        while (left := until - time.monotonic()) > 0:
            if poll.poll(1000 * min(left, _LONGEST_WAIT)):
                return
        raise WorkerLostError("it did not answer in time", late=True)

    def _loss(self) -> WorkerLostError:
        try:
            code = self._process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:  # it closed its pipe, or broke the protocol, and lives on
            return WorkerLostError("it stopped answering")
        if code < 0:
            return WorkerLostError(f"killed by {signal.Signals(-code).name}", by_signal=-code)
        return WorkerLostError(f"ended with code {code}")
