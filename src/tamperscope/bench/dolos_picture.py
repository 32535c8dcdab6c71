"""The generator matrices of a study as pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope.bench.dolos_tables import Matrix, matrices
from tamperscope.report.figure import (
    INK,
    SHADES,
    need_matplotlib,
    new_figure,
    plain_axes,
    save_figure,
    shade_bar,
)


def draw_matrices(record: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write ``matrix-N.svg`` and ``.png`` for each matrix of a study record; returns the paths.

    Raises:
        MissingExtraError: matplotlib is not installed. DataError: a record of another kind.
    """
    found = matrices(record)
    if found:
        need_matplotlib("drawing matrices")
    written = []
    for number, matrix in enumerate(found, 1):
        written += draw_matrix(matrix, folder / f"matrix-{number}")
    return written


def draw_matrix(matrix: Matrix, stem: Path, *, label: str = "IoU") -> list[Path]:
    """One matrix as ``STEM.svg`` and ``STEM.png``, on a transparent ground; returns the paths.

    Colour is the number of the label, from 0 to 1; a frame marks generators that training saw;
    references stand apart.
    """
    rows, columns = len(matrix.rows), len(matrix.columns)
    figure = new_figure(2.4 + 0.85 * columns, 1.6 + 0.42 * rows)
    axes = figure.add_subplot()
    values = [[np.nan if v is None else v for v in line] for line in matrix.values]
    shades = axes.imshow(np.array(values), vmin=0, vmax=1, cmap=SHADES, aspect="auto")
    _write_numbers(axes, matrix)
    _name_axes(axes, matrix)
    shade_bar(figure, axes, shades, label)
    return save_figure(figure, stem)


def _write_numbers(axes: Any, matrix: Matrix) -> None:
    from matplotlib.patches import Rectangle

    for y, (values, seen) in enumerate(zip(matrix.values, matrix.seen, strict=True)):
        for x, (value, flag) in enumerate(zip(values, seen, strict=True)):
            if value is None:
                continue
            # cividis is dark below one half and light above.
            ink = "white" if value < 0.5 else "black"
            text = f"{value:.2f}".replace("0.", ".", 1)
            axes.text(x, y, text, ha="center", va="center", color=ink, fontsize=10)
            if flag:
                axes.add_patch(
                    Rectangle((x - 0.44, y - 0.42), 0.88, 0.84, fill=False, edgecolor=ink, lw=1.4)
                )


def _name_axes(axes: Any, matrix: Matrix) -> None:
    axes.set_title(matrix.title, color=INK, fontsize=11)
    axes.set_xlabel("tested on", color=INK)
    axes.set_ylabel("trained on (framed: seen in training)", color=INK)
    axes.set_xticks(range(len(matrix.columns)), matrix.columns, rotation=30, ha="right")
    axes.set_yticks(range(len(matrix.rows)), matrix.rows)
    axes.tick_params(length=0)
    plain_axes(axes)
    first = next((y for y, seen in enumerate(matrix.seen) if seen[0] is None), None)
    if first:
        axes.axhline(first - 0.5, color=INK, lw=2)
