"""Pictures per second of `tamperscope batch` with a worker process for each core."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch_parts.runs import BATCH, batch_arguments, run

from speed_parts.candidates import Candidate

WARM = 4
"""Pictures for each worker that are not counted."""
LEAST, MOST = 16, 64
"""Pictures that are counted, whatever the candidate's speed."""


@dataclass(frozen=True)
class Batches:
    """folder: of `most_pictures` pictures; seconds: that the counted part of a run should take,
    roughly."""

    folder: Path
    rounds: int
    seconds: float
    cores: int
    device: str

    def measure(self, expected: Mapping[Candidate, float]) -> dict[Candidate, dict[str, Any]]:
        """Candidate -> its numbers; candidates take turns in every round.

        Args:
            expected: seconds per picture, which settle how many pictures a candidate gets.
        """
        rates: dict[Candidate, list[float]] = {one: [] for one in expected}
        counts = {one: self._count(seconds) for one, seconds in expected.items()}
        for _ in range(self.rounds):
            for one, count in counts.items():
                rates[one].append(self._rate(one, count))
        return {
            one: {
                "pictures_per_second": statistics.median(values),
                "least": min(values),
                "most": max(values),
                "rounds": len(values),
                "pictures": counts[one],
                "workers": self._workers,
            }
            for one, values in rates.items()
            if values
        }

    @property
    def _workers(self) -> int:
        # 0: one for each graphics device.
        return self.cores if self.device == "cpu" else 0

    def _count(self, seconds: float) -> int:
        return min(MOST, max(LEAST, round(self.seconds / seconds)))

    def _rate(self, one: Candidate, count: int) -> float:
        warm = WARM * self.cores
        words = batch_arguments(
            warm,
            source=str(self.folder),
            workers=self._workers,
            limit=warm + count,
            **one.settings(self.device),
        )
        return float(run(BATCH, words, self.cores)["rate"])


def most_pictures(cores: int) -> int:
    """How many pictures a run may need."""
    return WARM * cores + MOST
