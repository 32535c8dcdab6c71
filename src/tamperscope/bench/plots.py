"""Heat tables and curves of a benchmark record, as SVG and PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope.bench.board import Board, by_family
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
        The files: ``heat-SET-PROTOCOL.svg`` and so on, and the same as PNG.

    Raises:
        MissingExtraError: matplotlib is not installed. DataError: a record of another kind.
    """
    board = Board(record)
    if len(board.conditions) < 2:
        return []
    need_matplotlib("drawing heat tables and curves")
    written = []
    for dataset in board.datasets:
        for protocol in board.protocols:
            stem = "".join(c if c.isalnum() else "-" for c in f"{dataset}-{protocol}")
            figure = _heat(board, dataset, protocol)
            written += save_figure(figure, folder / f"heat-{stem}", dpi=DPI)
            if families := by_family(record):
                figure = _curves(board, dataset, protocol, families)
                written += save_figure(figure, folder / f"curves-{stem}", dpi=DPI)
    return written


def _heat(board: Board, dataset: str, protocol: str) -> Any:
    names, conditions = board.ranked(dataset, protocol), board.conditions
    found = [[board.value(n, dataset, protocol, c) for c in conditions] for n in names]
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
    title = board.columns(protocol)[0].heading
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
    families: Mapping[tuple[str, str], Sequence[tuple[float, str]]],
) -> Any:
    across = min(3, len(families))
    down = -(-len(families) // across)
    figure = new_figure(max(4.0 * across, 9.0), 2.9 * down + 1.1)
    grid = figure.subplots(down, across, squeeze=False)
    names = board.ranked(dataset, protocol)
    for axes, (family, points) in zip(grid.flat, families.items(), strict=False):
        for number, name in enumerate(names):
            _line(axes, board, (name, dataset, protocol), points, number)
        axes.set_xlabel(f"{family[0]}: {family[1]}", color=INK)
        axes.grid(color=INK, alpha=0.2)
        plain_axes(axes)
    for axes in list(grid.flat)[len(families) :]:
        axes.remove()
    title = board.columns(protocol)[0].heading
    legend = "dashed: references; dotted: unperturbed; shaded: 95 % interval"
    heading = _literal(f"{title} on {dataset}, protocol {protocol}")
    figure.suptitle(f"{heading}\n{legend}", color=INK, fontsize=10)
    legend_below(figure, grid[0][0], columns=3, fontsize=8)
    return figure


def _line(
    axes: Any,
    board: Board,
    place: tuple[str, str, str],
    points: Sequence[tuple[float, str]],
    number: int,
) -> None:
    name = place[0]
    reference = bool(board.methods[name]["reference"])
    found = [(x, board.value(*place, condition)) for x, condition in points]
    known = [(x, v) for x, v in found if v is not None]
    colour = INK if reference else LINES[number % len(LINES)]
    xs, means = [x for x, _ in known], [v["mean"] for _, v in known]
    axes.plot(
        xs,
        means,
        color=colour,
        marker=None if reference else MARKS[number % len(MARKS)],
        ls="--" if reference else "-",
        lw=0.8 if reference else 1.8,
        alpha=0.7 if reference else 1,
        label=_literal(board.title(name)),
    )
    if not reference:
        lows, highs = [v["low"] for _, v in known], [v["high"] for _, v in known]
        axes.fill_between(xs, lows, highs, color=colour, alpha=0.15, lw=0)
        plain = board.value(*place)
        if plain is not None:
            axes.axhline(plain["mean"], color=colour, ls=":", lw=1)


def _literal(text: str) -> str:
    """Text for matplotlib, which reads $ as mathematics and has no glyph for control characters."""
    return printable(text).replace("$", r"\$")
