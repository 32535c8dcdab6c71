"""Heat tables and curves of a benchmark record, as SVG and PNG."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope.bench.board import Board, Column, by_family
from tamperscope.report.figure import (
    INK,
    LINES,
    MARKS,
    SHADES,
    legend_below,
    need_matplotlib,
    new_figure,
    plain_axes,
    save_figure,
    shade_bar,
)
from tamperscope.report.plain import printable

DPI = 120


def draw_benchmark(record: Mapping[str, Any], folder: Path) -> list[Path]:
    """A heat table and curves for each set and protocol, where perturbations were measured.

    Returns:
        The files: ``heat-SET-PROTOCOL.svg`` and so on, for image AUC with its name behind them,
        and the same as PNG.

    Raises:
        MissingExtraError: matplotlib is not installed. DataError: a record of another kind.
    """
    board = Board(record)
    if len(board.conditions) < 2:
        return []
    need_matplotlib("drawing heat tables and curves")
    written = []
    families = by_family(record)
    for dataset, protocol in product(board.datasets, board.protocols):
        for place, column in enumerate(board.leading(dataset, protocol)):
            words = [dataset, protocol, *([column.name] if place else [])]
            stem = "".join(c if c.isalnum() else "-" for c in "-".join(words))
            figure = _heat(board, dataset, protocol, column)
            written += save_figure(figure, folder / f"heat-{stem}", dpi=DPI)
            if families:
                figure = _curves(board, dataset, protocol, column, families)
                written += save_figure(figure, folder / f"curves-{stem}", dpi=DPI)
    return written


def _heat(board: Board, dataset: str, protocol: str, column: Column) -> Any:
    names, conditions = board.ranked(dataset, protocol, column), board.conditions
    found = [[board.value(n, dataset, protocol, c, column) for c in conditions] for n in names]
    values = np.array([[np.nan if v is None else v["mean"] for v in line] for line in found])
    figure = new_figure(3.4 + 0.52 * len(conditions), 1.7 + 0.36 * len(names))
    axes = figure.add_subplot()
    low, high = min(0.0, float(np.nanmin(values, initial=0))), float(np.nanmax(values, initial=0.1))
    shades = axes.imshow(values, vmin=low, vmax=high, cmap=SHADES, aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        if np.isfinite(value):
            # cividis is dark below the middle and light above.
            ink = "white" if value < (low + high) / 2 else "black"
            text = f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.1f}"
            axes.text(x, y, text, ha="center", va="center", color=ink, fontsize=8)
    title = column.heading
    axes.set_title(_literal(f"{title} on {dataset}, protocol {protocol}"), color=INK, fontsize=11)
    axes.set_xticks(range(len(conditions)), conditions, rotation=50, ha="right")
    axes.set_yticks(range(len(names)), [_literal(board.title(n)) for n in names])
    axes.tick_params(length=0)
    plain_axes(axes)
    first = next((i for i, n in enumerate(names) if board.methods[n]["reference"]), 0)
    if first:
        axes.axhline(first - 0.5, color=INK, lw=2)
    shade_bar(figure, axes, shades, title, pad=0.01)
    return figure


def _curves(
    board: Board,
    dataset: str,
    protocol: str,
    column: Column,
    families: Mapping[tuple[str, str], Sequence[tuple[float, str]]],
) -> Any:
    across = min(3, len(families))
    down = -(-len(families) // across)
    figure = new_figure(max(4.0 * across, 9.0), 2.9 * down + 1.1)
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    names = board.ranked(dataset, protocol, column)
    methods = [name for name in names if not board.methods[name]["reference"]]
    for axes, (family, points) in zip(grid.flat, families.items(), strict=False):
        for number, name in enumerate(methods):
            _line(axes, board, (name, dataset, protocol), column, points, number)
        _best_reference(axes, board, (dataset, protocol), column, points)
        axes.set_xlabel(f"{family[0]}: {family[1]}", color=INK)
        axes.grid(color=INK, alpha=0.2)
        plain_axes(axes)
    for axes in list(grid.flat)[len(families) :]:
        axes.remove()
    title = column.heading
    legend = "dotted: unperturbed; shaded: 95 % interval"
    heading = _literal(f"{title} on {dataset}, protocol {protocol}")
    figure.suptitle(f"{heading}\n{legend}", color=INK, fontsize=10)
    legend_below(figure, grid[0][0], columns=3, fontsize=8)
    return figure


def _line(
    axes: Any,
    board: Board,
    place: tuple[str, str, str],
    column: Column,
    points: Sequence[tuple[float, str]],
    number: int,
) -> None:
    found = [(x, board.value(*place, condition, column)) for x, condition in points]
    known = [(x, v) for x, v in found if v is not None]
    colour = LINES[number % len(LINES)]
    xs, means = [x for x, _ in known], [v["mean"] for _, v in known]
    label = _literal(board.title(place[0]))
    axes.plot(xs, means, color=colour, marker=MARKS[number % len(MARKS)], lw=1.8, label=label)
    lows, highs = [v["low"] for _, v in known], [v["high"] for _, v in known]
    axes.fill_between(xs, lows, highs, color=colour, alpha=0.15, lw=0)
    plain = board.value(*place, column=column)
    if plain is not None:
        axes.axhline(plain["mean"], color=colour, ls=":", lw=1)


def _best_reference(
    axes: Any,
    board: Board,
    place: tuple[str, str],
    column: Column,
    points: Sequence[tuple[float, str]],
) -> None:
    """One line: eight would hide the methods, and which of them is best changes."""
    names = [name for name, about in board.methods.items() if about["reference"]]
    best = max if column.higher_is_better else min
    known = []
    for x, condition in points:
        found = [board.value(name, *place, condition, column) for name in names]
        means = [v["mean"] for v in found if v is not None]
        if means:
            known.append((x, best(means)))
    if known:
        xs, values = zip(*known, strict=True)
        label = f"best of {len(names)} references at each point"
        axes.plot(xs, values, color=INK, ls="--", lw=1.2, label=label)


def _literal(text: str) -> str:
    """Text for matplotlib, which reads $ as mathematics and has no glyph for control characters."""
    return printable(text).replace("$", r"\$")
