"""The generator matrices of a study as pictures."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope.bench.dolos_tables import Matrix, matrices
from tamperscope.errors import missing_extra

INK = "#808080"
"""Mid grey: about 4 : 1 against a white page and 5 : 1 against a dark one."""

COLOURS = "cividis"
"""Rises evenly in lightness, also for the colour-blind."""


def draw_matrices(record: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write ``matrix-N.svg`` and ``.png`` for each matrix of a study record; returns the paths.

    Raises:
        MissingExtraError: matplotlib is not installed. DataError: a record of another kind.
    """
    found = matrices(record)
    if found and find_spec("matplotlib") is None:
        raise missing_extra("drawing matrices", "plots")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, matrix in enumerate(found, 1):
        for kind in ("svg", "png"):
            path = folder / f"matrix-{number}.{kind}"
            draw_matrix(matrix, path)
            written.append(path)
    return written


def draw_matrix(matrix: Matrix, path: Path, *, label: str = "IoU") -> None:
    """One matrix as an SVG or PNG (by the path's ending), on a transparent ground.

    Colour is the number of the label, from 0 to 1; a frame marks generators that training saw;
    references stand apart.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = len(matrix.rows), len(matrix.columns)
    # Equal records give equal bytes: no date, and ids that do not depend on chance.
    with mpl.rc_context({"svg.hashsalt": "tamperscope", "svg.fonttype": "none"}):
        figure = Figure(figsize=(2.4 + 0.85 * columns, 1.6 + 0.42 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        values = [[np.nan if v is None else v for v in line] for line in matrix.values]
        shades = axes.imshow(np.array(values), vmin=0, vmax=1, cmap=COLOURS, aspect="auto")
        _write_numbers(axes, matrix)
        _name_axes(axes, matrix)
        bar = figure.colorbar(shades, ax=axes, label=label)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=INK)
        bar.ax.yaxis.label.set_color(INK)
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, transparent=True, dpi=160, metadata=metadata)


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
    axes.tick_params(colors=INK, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    first = next((y for y, seen in enumerate(matrix.seen) if seen[0] is None), None)
    if first:
        axes.axhline(first - 0.5, color=INK, lw=2)
