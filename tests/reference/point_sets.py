"""Point sets that are hard for a spanning tree, each in its own way."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def unit(rows: Points) -> Points:
    norms: Points = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / norms


def modes(*sizes: int, channels: int, spread: float, background: int = 0) -> Points:
    """Groups around random unit vectors and points anywhere on the sphere, in random order."""
    rng = np.random.default_rng(len(sizes) * channels)
    centres = unit(rng.normal(size=(len(sizes), channels)))
    groups = [
        centre + rng.normal(size=(n, channels)) * spread
        for centre, n in zip(centres, sizes, strict=True)
    ]
    rows = unit(np.concatenate([*groups, rng.normal(size=(background, channels))]))
    return rng.permutation(rows)


def _uniform(n: int, channels: int) -> Points:
    return np.random.default_rng(n + channels).uniform(size=(n, channels))


def _duplicates() -> Points:
    rng = np.random.default_rng(5)
    distinct = modes(150, 100, channels=6, spread=0.1, background=50)
    return rng.permutation(np.repeat(distinct, rng.integers(1, 8, len(distinct)), axis=0))


def _line() -> Points:
    rng = np.random.default_rng(6)
    return np.outer(rng.normal(size=500), rng.normal(size=5)) + rng.normal(size=5)


def _lattice() -> Points:
    grid = np.stack(np.meshgrid(np.arange(25.0), np.arange(24.0)), axis=-1).reshape(-1, 2)
    return np.random.default_rng(7).permutation(grid)


def _outlier() -> Points:
    rows = _uniform(400, 3)
    rows[17] = 1e6
    return rows


def _uneven_axes() -> Points:
    return _uniform(500, 7) * 10.0 ** np.arange(-6, 8, 2)


def _same_centre() -> Points:
    """Shells around one centre: balls bound nothing."""
    directions = unit(np.random.default_rng(8).normal(size=(600, 20)))
    return directions * np.repeat([0.5, 1.0, 4.0], 200)[:, None]


CASES: dict[str, Callable[[], NDArray[np.floating]]] = {
    "uniform, 2 dimensions": lambda: _uniform(800, 2),
    "uniform, 16 dimensions": lambda: _uniform(700, 16),
    "uniform, 200 dimensions": lambda: _uniform(400, 200),
    "one dimension": lambda: _uniform(500, 1),
    "clusters": lambda: modes(400, 200, 100, channels=8, spread=0.1),
    "clusters, background": lambda: modes(400, 250, 90, channels=64, spread=0.06, background=99),
    "touching clusters": lambda: modes(300, 200, 100, channels=4, spread=0.35),
    "one mode": lambda: modes(700, channels=24, spread=0.1),
    "shells": _same_centre,
    "duplicates": _duplicates,
    "collinear": _line,
    "evenly spaced": lambda: np.arange(300.0)[:, None] * np.ones(3),
    "lattice": _lattice,
    "two values": lambda: np.repeat(np.eye(2, 6), [70, 50], axis=0),
    "constant": lambda: np.full((120, 4), 0.3),
    "all zero": lambda: np.zeros((60, 4)),
    "one far away": _outlier,
    "uneven axes": _uneven_axes,
    "empty axes": lambda: np.pad(_uniform(300, 3), ((0, 0), (2, 40))),
    "huge": lambda: modes(300, 200, channels=8, spread=0.1) * 1e8,
    "tiny": lambda: modes(300, 200, channels=8, spread=0.1) * 1e-8,
    "beyond float32's squares": lambda: modes(200, 100, channels=8, spread=0.1) * 1e25,
    "below float32's squares": lambda: modes(200, 100, channels=8, spread=0.1) * 1e-30,
    "far from the origin": lambda: modes(300, 200, channels=8, spread=0.1) + 1e8,
    "hardly apart": lambda: 1 + 1e-8 * modes(300, 200, channels=8, spread=0.1),
    "float32": lambda: modes(400, 300, channels=32, spread=0.1).astype(np.float32),
    "float32 far from the origin": lambda: (modes(300, 200, channels=8, spread=0.1) + 1000).astype(
        np.float32
    ),
    "not contiguous": lambda: np.asfortranarray(modes(300, 99, channels=12, spread=0.1))[::-1],
    **{f"{n} points": lambda n=n: _uniform(n, 3) for n in range(8)},  # type: ignore[misc]
}
