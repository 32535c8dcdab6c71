"""Work shared between threads."""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def cores_here() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def side_by_side(work: Callable[[Item], None], items: Iterable[Item], threads: int) -> None:
    """Call ``work`` on every item, in order of their turn, on so many threads."""
    if threads == 1:
        for item in items:
            work(item)
        return
    turn, queue = threading.Lock(), iter(items)
    failed = threading.Event()

    def take() -> None:
        while not failed.is_set():
            with turn:
                item = next(queue, failed)
            if item is failed:
                return
            try:
                work(item)  # type: ignore[arg-type]
            except BaseException:
                failed.set()
                raise

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(take) for _ in range(threads)]:
            future.result()
