"""How far a benchmark has come."""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called for each picture with (number done, number of pictures, what)."""

Tick = Callable[[str], None]
"""Called before each picture with its id."""


class Ticker:
    """Counts pictures for a `Progress`."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self, what: str) -> None:
        """Say that the next picture begins."""
        if self._progress is not None:
            self._progress(self._done, self._total, what)
        self._done += 1
