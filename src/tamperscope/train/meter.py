"""What the loop keeps an eye on besides the loss: its own speed, and requests to stop."""

import signal
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any, Self

import torch
from accelerate import Accelerator
from torch import Tensor


class Meter:
    """Means over a log interval, speed, and the share of time spent waiting for data."""

    def __init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps = self.samples = 0
        self.waited = self.away = 0.0
        self.started = time.perf_counter()

    def wait_for(self, batches: Any) -> Mapping[str, Any]:
        """The next batch; the time it took counts as ``data_wait``."""
        start = time.perf_counter()
        batch: Mapping[str, Any] = next(batches)
        self.waited += time.perf_counter() - start
        return batch

    def add(self, terms: Mapping[str, Tensor], samples: int) -> None:
        """Count one optimizer step of ``samples`` pictures with its mean terms."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value
        self.steps += 1
        self.samples += samples

    def paused(self) -> "_Pause":
        """A ``with`` block whose time does not count."""
        return _Pause(self)

    def numbers(self, accelerator: Accelerator) -> dict[str, float]:
        """Means over all processes since the last call, and a restart."""
        means = torch.stack([self.sums[name] for name in sorted(self.sums)]) / self.steps
        if accelerator.num_processes > 1:
            means = accelerator.reduce(means, "mean")
        seconds = max(time.perf_counter() - self.started - self.away, 1e-9)
        numbers = dict(zip(sorted(self.sums), means.tolist(), strict=True))
        numbers |= {
            "samples_per_second": self.samples / seconds,
            "seconds": seconds,
            "data_wait": self.waited / seconds,
        }
        self._restart()
        return numbers


class _Pause:
    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.meter.away += time.perf_counter() - self.start


class StopRequest:
    """SIGINT and SIGTERM become a request to stop after the step; a second one acts at once."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()
