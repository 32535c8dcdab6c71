"""One measured run in a process of its own: wall clock, CPU seconds, peak of memory.

Processes are forked from a server that has imported the libraries and done nothing else, so that
each starts clean without importing again. Memory is what the kernel counts (`/proc`); elsewhere
than on Linux it is not measured.
"""

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope.errors import ConfigError

_SETUP_LIMIT = 600.0
# Not fast_hdbscan: importing it starts OpenMP threads, after which no process can be forked.
_PRELOAD = (
    "__main__",
    "numpy",
    "hdbscan",
    "sklearn.cluster",
    "torch",
    "tamperscope.clustering.hdbscan",
)
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_PROC = Path("/proc")


@dataclass(frozen=True)
class Outcome:
    """Of one run. status: ``done``, ``timed out`` or ``failed``; why: what failed.

    seconds: wall clock; cpu_seconds: of all threads and child processes; peak_bytes: over what the
    process held with its input loaded; device_bytes: the same of a graphics card.
    """

    status: str
    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_bytes: int | None = None
    device_bytes: int | None = None
    why: str | None = None
    extra: Any = None


def enough(outcomes: Sequence[Outcome], once: float) -> bool:
    """Whether another run would be a waste: the last one failed, or took more than `once`."""
    return any(o.status != "done" or (o.seconds or 0) > once for o in outcomes)


Prepare = Callable[..., tuple[Callable[[], Any], Callable[[Any], Any]]]
"""Sets up what is timed and, not timed, what makes something of its answer."""


class Processes:
    """Runs jobs one at a time, each in a fresh process.

    Args:
        threads: cores every process is held to, and the number of threads every library is told.

    Raises:
        ConfigError: more threads than cores.
    """

    def __init__(self, threads: int) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        if not 1 <= threads <= (cores or 1):
            raise ConfigError(f"threads must be from 1 to {cores}, the cores here, not {threads}")
        self._threads = threads
        os.environ.update(dict.fromkeys(_THREADS, str(threads)))
        forks = "forkserver" in multiprocessing.get_all_start_methods()
        self._context = multiprocessing.get_context("forkserver" if forks else "spawn")
        if forks:
            self._context.set_forkserver_preload(list(_PRELOAD))

    def run(self, prepare: Prepare, *arguments: Any, limit: float) -> Outcome:
        """Set up, then time. A run over `limit` seconds is ended."""
        ours, theirs = self._context.Pipe(duplex=False)
        # Not a daemon: the hdbscan library starts processes itself.
        process = self._context.Process(
            target=_child, args=(theirs, self._threads, prepare, arguments)
        )
        process.start()
        theirs.close()
        try:
            return _listen(ours, limit)
        finally:
            _end(process)


def _listen(pipe: Connection, limit: float) -> Outcome:
    for patience, late in (
        (_SETUP_LIMIT, "failed: setting up took too long"),
        (limit, "timed out"),
        (_SETUP_LIMIT, "failed: its answer took too long to write"),
    ):
        if not pipe.poll(patience):
            status, _, why = late.partition(": ")
            return Outcome(status, why=why or None)
        try:
            message = pipe.recv()
        except EOFError:
            return Outcome("failed", why="its process died, perhaps for lack of memory")
        if isinstance(message, Outcome):
            return message
    return Outcome("failed", why="its process said too much")


def _end(process: Any) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg") and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _child(pipe: Connection, threads: int, prepare: Prepare, arguments: tuple[Any, ...]) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # so that whatever this process starts can be ended with it
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    try:
        work, finish = prepare(*arguments)
        meter = _Meter()
        pipe.send("ready")
        meter.start()
        answer = work()
        outcome = meter.stop()
        pipe.send("timed")
        pipe.send(replace(outcome, extra=finish(answer)))
    except BaseException as error:
        traceback.print_exc()
        pipe.send(Outcome("failed", why=f"{type(error).__name__}: {error}"))


class _Meter:
    def __init__(self) -> None:
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        self._device = _cuda_peak(reset=True)
        self._held = {pid: _kibibytes(pid, "VmRSS") for pid in _family()}
        self._resettable = _reset_peaks(self._held)

    def start(self) -> None:
        self._cpu, self._wall = _cpu_seconds(), time.perf_counter()

    def stop(self) -> Outcome:
        wall = time.perf_counter() - self._wall
        cpu = _cpu_seconds() - self._cpu
        peak = None
        if self._resettable:
            peak = 1024 * sum(
                max(0, _kibibytes(pid, "VmHWM") - self._held.get(pid, 0)) for pid in _family()
            )
        now = _cuda_peak(reset=False)
        device = None if now is None or self._device is None else now - self._device
        return Outcome("done", wall, cpu, peak, device)


def _family() -> list[int]:
    """This process and whatever it has started, as far as it still runs."""
    mine = os.getpid()
    if not (_PROC / str(mine) / "status").exists():
        return [mine]
    parents = dict(_parents())
    found, known = [mine], {mine}
    for pid in found:
        children = [child for child, parent in parents.items() if parent == pid]
        found += [child for child in children if child not in known]
        known.update(children)
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            yield int(folder.name), int(_stat(folder)[1])


def _stat(folder: Path) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold anything."""
    return (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def _kibibytes(pid: int, name: str) -> int:
    with contextlib.suppress(OSError, StopIteration):
        lines = (_PROC / str(pid) / "status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    return 0


def _reset_peaks(pids: Any) -> bool:
    try:
        for pid in pids:
            (_PROC / str(pid) / "clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return False
    return True


def _cpu_seconds() -> float:
    """Of this process and its children; `time.process_time` knows itself only."""
    total = time.process_time()
    for pid in _family()[1:]:
        with contextlib.suppress(OSError):
            fields = _stat(_PROC / str(pid))
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _cuda_peak(*, reset: bool) -> int | None:
    import sys

    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    if reset:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_allocated())
    return int(torch.cuda.max_memory_allocated())


def load_and_prepare(
    name: str, file: Path, settings: Any, answer: Path | None
) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """A competitor of `clustering_parts.competitors` on a file of features; its answer is kept in
    the .npz file `answer`."""
    from clustering_parts import competitors

    job = competitors.prepare(name, np.load(file), settings)

    def finish(made: Any) -> None:
        if answer is not None:
            found = job.finish(made)
            edges = {} if found.edges is None else {"edges": found.edges}
            np.savez(answer, labels=found.labels, weights=found.weights, **edges)

    return job.work, finish
