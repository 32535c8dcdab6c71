"""A set of pictures as points: what single-sample clustering saw, and what it said."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamperscope.report.figure import (
    INK,
    LINES,
    legend_below,
    need_matplotlib,
    new_figure,
    plain_axes,
    save_figure,
)

_COLOURS = {False: LINES[0], True: LINES[1]}
_NAMES = {False: "real", True: "fake"}


def draw_scatter(
    points: NDArray[np.floating],
    fake: NDArray[np.bool_],
    stem: Path,
    *,
    truth: NDArray[np.bool_] | None = None,
    known: Iterable[int] = (),
    title: str = "",
) -> list[Path]:
    """Write ``STEM.svg`` and ``STEM.png``; returns both.

    Colour says what a picture was named. Where the truth is given its mark says that: a disc for
    real, a cross for fake.

    Args:
        points: (n, 2) or (n, 3).
        fake: (n,), True = named fake.
        stem: the files without their ending.
        truth: (n,), True = fake.
        known: rows whose labels named the groups; they are ringed.
        title: above the figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    need_matplotlib("drawing the scatter plot")
    figure = new_figure(6.0, 5.2)
    solid = points.shape[1] == 3
    axes = figure.add_subplot(projection="3d" if solid else None)
    for named, is_fake, label in _series(truth):
        chosen = fake == named
        if truth is not None:
            chosen = chosen & (truth == is_fake)
        mark = "x" if is_fake else "o"
        axes.scatter(*points[chosen].T, s=22, marker=mark, color=_COLOURS[named], label=label)
    if rows := list(known):
        rings = {"s": 130, "facecolors": "none", "edgecolors": INK, "linewidths": 1.8}
        axes.scatter(*points[rows].T, label="label given", **rings)
    axes.set_title(title, color=INK, fontsize=11)
    _bare(axes, solid)
    legend_below(figure, axes, columns=3 if truth is None else 2)
    return save_figure(figure, stem)


def _series(truth: NDArray[np.bool_] | None) -> list[tuple[bool, bool, str]]:
    """(named fake, drawn as fake, label in the legend)."""
    both = (False, True)
    if truth is None:
        return [(named, False, f"named {_NAMES[named]}") for named in both]
    pairs = [(named, is_fake) for is_fake in both for named in both]
    return [(*pair, f"{_NAMES[pair[1]]}, named {_NAMES[pair[0]]}") for pair in pairs]


def _bare(axes: Any, solid: bool) -> None:
    """The coordinates of t-SNE mean nothing: no numbers at the axes."""
    sides = [axes.xaxis, axes.yaxis, *([axes.zaxis] if solid else [])]
    for side in sides:
        side.set_ticklabels([])
    if not solid:
        plain_axes(axes)
        axes.set_xticks([])
        axes.set_yticks([])
