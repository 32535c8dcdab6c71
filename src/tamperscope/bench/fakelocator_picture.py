"""The pictures of a FakeLocator study: accuracy across generators, robustness, embeddings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope.bench.dolos_picture import draw_matrix
from tamperscope.bench.fakelocator_lookup import check, crossing_matrix
from tamperscope.bench.fakelocator_run import Clusterings
from tamperscope.bench.fakelocator_sets import UNSEEN
from tamperscope.report.figure import (
    INK,
    LINES,
    MARKS,
    legend_below,
    need_matplotlib,
    new_figure,
    plain_axes,
    save_figure,
)
from tamperscope.report.scatter import draw_scatter

_SHOWN = (("coss", "COSS"), ("ssim", "SSIM"), ("accuracy", "accuracy"))


def draw_study(record: Mapping[str, Any], clusterings: Clusterings, folder: Path) -> list[Path]:
    """Write ``generators``, ``robustness`` and one ``scatter-ROW`` for each localizer on the unseen
    generator (without one, on the first that training did not see), each as SVG and PNG.

    Raises:
        MissingExtraError: matplotlib is not installed. DataError: a record of another kind.
    """
    check(record)
    need_matplotlib("drawing the study")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    matrix = crossing_matrix(record)
    if matrix is not None:
        written += draw_matrix(matrix, folder / "generators", label="accuracy")
    curves = curves_of(record)
    if curves:
        written += save_figure(_robustness(record, curves), folder / "robustness")
    for row, generator, found in _scatters(record, clusterings):
        written += _scatter(row, generator, found, folder)
    return written


def curves_of(record: Mapping[str, Any]) -> dict[tuple[str, str], list[tuple[float, str]]]:
    """(perturbation, parameter) -> its values with their specs, rising; at least two values."""
    found: dict[tuple[str, str], dict[float, str]] = {}
    for cell in record["numbers"]["robustness"]:
        if cell["axis"] is not None:
            name, parameter, value = cell["axis"]
            found.setdefault((name, parameter), {})[value] = cell["condition"]
    return {key: sorted(values.items()) for key, values in found.items() if len(values) > 1}


def _robustness(
    record: Mapping[str, Any], curves: Mapping[tuple[str, str], Sequence[tuple[float, str]]]
) -> Any:
    rows = list(dict.fromkeys(cell["row"] for cell in record["numbers"]["robustness"]))
    figure = new_figure(2.6 + 2.6 * len(curves), 7.6)
    grid = figure.subplots(len(_SHOWN), len(curves), squeeze=False, sharey="row")
    for line, (name, title) in zip(grid, _SHOWN, strict=True):
        for axes, (family, points) in zip(line, curves.items(), strict=True):
            for number, row in enumerate(rows):
                _curve(axes, record, row, name, points, number)
            axes.set_ylim(-0.02, 1.02)
            axes.grid(color=INK, alpha=0.2)
            plain_axes(axes)
            axes.set_xlabel(f"{family[0]}: {family[1]}", color=INK)
        line[0].set_ylabel(title, color=INK)
    generator, variant = record["method"]["home"], record["method"]["variant"]
    title = f"Robustness on {generator}, {variant} (dotted: as they are)"
    figure.suptitle(title, color=INK, fontsize=11)
    legend_below(figure, grid[0][0])
    return figure


def _curve(
    axes: Any,
    record: Mapping[str, Any],
    row: str,
    name: str,
    points: Sequence[tuple[float, str]],
    number: int,
) -> None:
    colour = LINES[number % len(LINES)]
    found = [(x, _value(record, row, spec, name)) for x, spec in points]
    known = [(x, v) for x, v in found if v is not None]
    xs = [x for x, _ in known]
    means = [v["mean"] for _, v in known]
    axes.plot(xs, means, color=colour, marker=MARKS[number % len(MARKS)], lw=1.8, label=row)
    lows, highs = [v["low"] for _, v in known], [v["high"] for _, v in known]
    axes.fill_between(xs, lows, highs, color=colour, alpha=0.15, lw=0)
    plain = _value(record, row, "none", name)
    if plain is not None:
        axes.axhline(plain["mean"], color=colour, ls=":", lw=1)


def _value(
    record: Mapping[str, Any], row: str, condition: str, name: str
) -> Mapping[str, Any] | None:
    for cell in record["numbers"]["robustness"]:
        if (cell["row"], cell["condition"]) == (row, condition):
            numbers = cell["detection"] if name == "accuracy" else cell
            return None if numbers is None or numbers[name] is None else dict(numbers[name])
    return None


def _scatters(
    record: Mapping[str, Any], clusterings: Clusterings
) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Row, generator and clustering, one for each row."""
    chosen: dict[str, tuple[str, str, Mapping[str, Any]]] = {}
    seen = {row["name"]: row["generators"] for row in record["method"]["rows"]}
    for (row, (generator, _)), found in clusterings.items():
        if generator == UNSEEN:
            chosen[row] = (row, generator, found)
        elif generator not in seen[row]:
            chosen.setdefault(row, (row, generator, found))
    return list(chosen.values())


def _scatter(row: str, generator: str, found: Mapping[str, Any], folder: Path) -> list[Path]:
    truth = np.array(found["fake"])
    ones = np.array(found["groups"]) == 1
    # Named as they would be by most of the pictures.
    named = ones if (ones == truth).mean() >= 0.5 else ~ones
    best = found["accuracy"]["best"]
    stem = "".join(c if c.isalnum() else "-" for c in f"scatter-{row}")
    return draw_scatter(
        np.array(found["points"]),
        named,
        folder / stem,
        truth=truth,
        title=f"{row} on {generator}: clusters named right {best:.3f}",
    )
