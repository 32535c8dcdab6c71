"""Work shared between threads."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


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
