"""The worker's side: its pipes, its end, its memory."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterable
from typing import BinaryIO

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""How many threads the numeric libraries start; read when they are imported."""

_PR_SET_PDEATHSIG = 1


def own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Private copies of stdin and stdout: whatever a library prints must not become a message."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, sink


def die_with_parent() -> None:
    """End this process when the thread that started it ends (Linux)."""
    if sys.platform == "linux":
        # A worker that hangs would not notice that its input has ended.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def limit_memory(extra: int, devices: Iterable[str]) -> None:
    """Let allocations fail with MemoryError once the process has grown by ``extra`` bytes.

    Counted from what is mapped now: libraries reserve gigabytes of addresses they never touch.
    Without effect where a graphics device is used, and on other systems than Unix.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    mapped = _mapped_bytes()
    # A graphics driver maps the whole memory of its devices whenever it likes.
    if mapped is not None and set(devices) <= {"cpu"}:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (mapped + extra, mapped + extra))


def _mapped_bytes() -> int | None:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
