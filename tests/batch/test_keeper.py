"""What counts against an input's time, and waiting for longer than a poll can count."""

import hashlib
import os
import select
import time
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from tamperscope.batch import keeper as module
from tamperscope.batch.keeper import Keeper
from tamperscope.batch.work import Answer, Task
from tamperscope.workers import process
from tamperscope.workers.process import WorkerLostError, WorkerProcess

LIMIT, READING = 10.0, 4.0
DIGEST = hashlib.sha256(b"").hexdigest()


class Paced:
    """A worker that needs a while to read, on a clock that only it and the test move."""

    clock = SimpleNamespace(now=0.0)
    ended = False

    def __init__(self, module: str) -> None:
        self._replies = [{"describe": {}}, {"sha256": DIGEST}, {"answer": vars(Answer())}]
        self._takes = [0.0, READING, 0.0]
        self.left: list[float] = []

    def send(self, head: Mapping[str, Any], body: bytes, *, until: float) -> None:
        pass

    def receive(self, *, until: float) -> tuple[dict[str, Any], bytes]:
        self.left.append(until - self.clock.now)
        self.clock.now += self._takes.pop(0)
        return self._replies.pop(0), b""

    def kill(self) -> None:
        self.ended = True


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> Keeper:
    monkeypatch.setattr(Paced.clock, "now", 1000.0)
    monkeypatch.setattr(module, "WorkerProcess", Paced)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: Paced.clock.now))
    keeper = Keeper({}, time_limit=LIMIT, start_limit=300.0, note=lambda event: None)
    keeper.start()
    return keeper


@pytest.mark.parametrize("pause", [0.0, 3.0, 100.0])
def test_only_the_time_a_worker_takes_counts(paced: Keeper, pause: float) -> None:
    assert paced.begin(Task(key="a", id="a", source="a")) == DIGEST
    Paced.clock.now += pause
    found = paced.finish(True)
    assert found.answer is not None
    assert found.answer.error is None
    assert paced._process.left == [300.0, LIMIT, LIMIT - READING]  # type: ignore[union-attr]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Ends to read from and to write to."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def wait(descriptor: int, seconds: float) -> None:
    worker = object.__new__(WorkerProcess)
    worker._wait(descriptor, select.POLLIN, time.monotonic() + seconds)


def test_limits_longer_than_a_poll_can_count(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"x")
    wait(pipe[0], 3_000_000.0)


def test_a_long_wait_is_made_of_short_ones(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_LONGEST_WAIT", 0.01)
    begun = time.monotonic()
    with pytest.raises(WorkerLostError, match="it did not answer in time") as lost:
        wait(pipe[0], 0.1)
    assert lost.value.late
    assert time.monotonic() - begun >= 0.1
