"""What is measured: a grid of point sets and settings, the competitors, and roughly how long each
takes."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

SIZES = (4096, 16_384, 65_536)
DIMENSIONS = (32, 64, 256)
MIN_SAMPLES = (10, 50, 500)
DATA = ("real", "synthetic", "uniform")

THINNED = {
    "real": None,
    "synthetic": ((16_384, 65_536), (256,), (500,)),
    "uniform": ((16_384,), (64,), (50,)),
}
"""Kinds of data of which only a part of the grid is measured, unless sizes, dimensions or
min_samples are named."""


@dataclass(frozen=True, order=True)
class Cell:
    """One problem. Its order is from easy to hard, within one kind of data."""

    data: str
    points: int
    dims: int
    min_samples: int

    def no_harder_than(self, other: "Cell") -> bool:
        """Whether what takes too long here must take too long there."""
        return (
            self.data == other.data
            and self.points <= other.points
            and self.dims <= other.dims
            and self.min_samples <= other.min_samples
        )

    def __str__(self) -> str:
        return f"{self.data} {self.points:,} x {self.dims}, min_samples {self.min_samples}"


@dataclass(frozen=True)
class Competitor:
    """A way to cluster, and a rough model of its cost.

    exact: whether its spanning tree is. precision: of its distances. seconds: on two cores, for
    16,384 x 64 and min_samples 500, growing with the powers given of points and dimensions. The
    model serves the estimate of the whole benchmark's duration and nothing else.
    """

    name: str
    title: str
    exact: bool
    precision: str
    seconds: float
    by_points: float
    by_dims: float

    def guess(self, cell: Cell) -> float:
        """Seconds one run may take."""
        growth = (cell.points / 16_384) ** self.by_points * (cell.dims / 64) ** self.by_dims
        return self.seconds * growth


COMPETITORS = {
    one.name: one
    for one in (
        Competitor("ours", "tamperscope", True, "float64", 0.9, 1.9, 0.5),
        Competitor("hdbscan", "hdbscan, exact Boruvka", True, "float64", 8.0, 1.9, 0.8),
        Competitor("hdbscan-default", "hdbscan, default", False, "float64", 12.0, 1.8, 1.0),
        Competitor("sklearn-tree", "scikit-learn, kd_tree", True, "float64", 15.0, 2.0, 1.0),
        Competitor("sklearn-brute", "scikit-learn, brute", True, "float64", 16.0, 2.0, 0.1),
        Competitor("fast-hdbscan", "fast_hdbscan, Boruvka", True, "float32", 3.7, 1.8, 0.8),
        Competitor("ours-cuda", "tamperscope, CUDA", True, "float64", 0.1, 1.5, 0.3),
    )
}
OURS = ("ours", "ours-cuda")
SCIKIT_LEARN = ("sklearn-tree", "sklearn-brute")


def grid(
    data: Iterable[str],
    sizes: Sequence[int] | None,
    dims: Sequence[int] | None,
    min_samples: Sequence[int] | None,
) -> list[Cell]:
    """The cells asked for, easy ones first; None: all, or what `THINNED` leaves of all."""
    named = sizes is not None or dims is not None or min_samples is not None
    asked = (sizes or SIZES, dims or DIMENSIONS, min_samples or MIN_SAMPLES)
    cells = {
        Cell(kind, *values)
        for kind in data
        for values in product(*(asked if named else THINNED[kind] or asked))
    }
    return sorted(cells)


def cell_of(row: dict[str, Any]) -> Cell:
    """The cell that a row of the record belongs to."""
    return Cell(row["data"], row["points"], row["dims"], row["min_samples"])


def key_of(row: dict[str, Any]) -> tuple[Cell, str]:
    """A row's cell and competitor: what makes it replaceable by a later one."""
    return cell_of(row), str(row["competitor"])


@dataclass(frozen=True)
class Plan:
    """Which runs are worth their time.

    limit: seconds a run may take in the column of the largest min_samples, the setting of the
    published method; the other columns get a quarter. rounds: runs of each competitor in each cell,
    of which the median counts. once: a run of more seconds is not repeated.
    """

    cells: Sequence[Cell]
    competitors: Sequence[str]
    limit: float
    rounds: int
    once: float

    def limit_for(self, cell: Cell) -> float:
        """Seconds a run may take there."""
        foremost = max(one.min_samples for one in self.cells)
        return self.limit if cell.min_samples == foremost else self.limit / 4

    def estimate(self) -> float:
        """Roughly how many seconds all of it will take, setting up included."""
        total, book = 0.0, Book()
        for cell in self.cells:
            limit, seconds = self.limit_for(cell), dict[str, float]()
            for name in self.competitors:
                if book.reason_to_skip(name, cell, limit):
                    continue
                seconds[name] = guess = COMPETITORS[name].guess(cell)
                if guess > limit:
                    book.timed_out(name, cell, limit)
                total += (1 if guess > self.once else self.rounds) * (min(guess, limit) + 1.0)
            book.compared(cell, seconds)
        return total


class Book:
    """What has been learned from easier cells."""

    def __init__(self) -> None:
        self._late: list[tuple[str, Cell, float]] = []
        self._slower: dict[tuple[str, int, int], tuple[str, int]] = {}

    def timed_out(self, name: str, cell: Cell, limit: float) -> None:
        """A competitor took more than `limit` seconds there."""
        self._late.append((name, cell, limit))

    def compared(self, cell: Cell, seconds: dict[str, float]) -> None:
        """How long each took there; of scikit-learn's two ways only the better one goes on."""
        both = {name: seconds[name] for name in SCIKIT_LEARN if name in seconds}
        if len(both) == 2:
            slower = max(both, key=lambda name: both[name])
            self._slower[cell.data, cell.dims, cell.min_samples] = (slower, cell.points)

    def reason_to_skip(self, name: str, cell: Cell, limit: float) -> str:
        """Why not to run it; "" to run it."""
        for who, easy, had in self._late:
            if who == name and had >= limit and easy.no_harder_than(cell):
                return f"over {had:g} s at {easy}"
        if name == "sklearn-brute" and 3 * 8 * cell.points**2 > _free_memory() / 2:
            return "a matrix of all distances does not fit into memory"
        slower, points = self._slower.get((cell.data, cell.dims, cell.min_samples), ("", 0))
        # Where the other way is out of memory, the slower one is the best there is.
        fits = 3 * 8 * cell.points**2 <= _free_memory() / 2
        if name == slower and (fits or name == "sklearn-brute"):
            return f"the slower of scikit-learn's two at {points:,} points"
        return ""


def _free_memory() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        return 8e9
