"""Tables, plot and summary of the rows of a clustering record."""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from clustering_parts.cells import COMPETITORS, OURS, Cell, cell_of

Row = dict[str, Any]
_COLUMNS = ("ours", "ours-cuda", "hdbscan", "hdbscan-default", "sklearn", "fast-hdbscan")
_TITLES = {
    **{name: one.title for name, one in COMPETITORS.items()},
    "sklearn": "scikit-learn",
}
_COLOURS = {
    "ours": "#c8102e",
    "ours-cuda": "#7a0019",
    "hdbscan": "#1f5fa8",
    "hdbscan-default": "#7fb0e0",
    "sklearn": "#2f8f4e",
    "fast-hdbscan": "#b07a00",
}


def by_cell(rows: Iterable[Row]) -> dict[Cell, dict[str, Row]]:
    """Cell -> column -> row; scikit-learn's column is the better of its two ways."""
    cells: dict[Cell, dict[str, Row]] = {}
    for row in sorted(rows, key=lambda r: (cell_of(r), str(r["competitor"]))):
        name = str(row["competitor"])
        column = "sklearn" if name.startswith("sklearn") else name
        found = cells.setdefault(cell_of(row), {})
        if column not in found or _rank(row) < _rank(found[column]):
            found[column] = row
    return cells


def _rank(row: Row) -> tuple[int, float]:
    order = ("done", "timed out", "skipped", "failed")
    return order.index(row["status"]), row["seconds"] or 0.0


def summary(rows: Iterable[Row]) -> dict[str, Any]:
    """Where ours stands: against the best library in each cell, and against hdbscan's default.

    Only libraries that finished are compared with, the approximate and the float32 ones as well.
    """
    ratios, versus_default, exact = [], {}, []
    for cell, found in by_cell(rows).items():
        if found.get("ours", {}).get("status") != "done":
            continue
        ours = found["ours"]["seconds"]
        others = [
            row["seconds"]
            for name, row in found.items()
            if name not in OURS and row["status"] == "done"
        ]
        if others:
            ratios.append({"cell": str(cell), "ratio": min(others) / ours})
        default = found.get("hdbscan-default", {})
        if default.get("status") == "done":
            versus_default[str(cell)] = default["seconds"] / ours
        if found["ours"].get("weights_difference") is not None:
            exact.append(found["ours"]["weights_difference"])
    return {
        "times_faster_than_the_best_library": {
            "cells": len(ratios),
            "least": min(ratios, key=lambda one: one["ratio"]) if ratios else None,
            "median": statistics.median(one["ratio"] for one in ratios) if ratios else None,
            "slower_in": [one["cell"] for one in ratios if one["ratio"] < 1],
        },
        "times_faster_than_hdbscan_default": versus_default,
        "largest_weights_difference": max(exact, default=None),
        "cells_compared_with_an_exact_library": len(exact),
    }


def markdown(rows: Sequence[Row], latency: Sequence[Row]) -> str:
    """All tables."""
    cells = by_cell(rows)
    columns = [name for name in _COLUMNS if any(name in found for found in cells.values())]
    parts = []
    for heading, value in (
        ("Wall-clock seconds", _seconds),
        ("CPU seconds", _cpu),
        ("Peak memory over the input, MiB", _memory),
    ):
        parts.append(f"### {heading}\n\n{_table(cells, columns, value)}")
    parts.append(f"### Agreement\n\n{_AGREEMENT}\n\n{_table(cells, columns, _agreement)}")
    if latency:
        parts.append(f"### A whole picture\n\n{_latency(latency)}")
    return "\n\n".join(parts) + "\n"


_AGREEMENT = (
    "Largest difference of a spanning-tree weight to an exact library (hdbscan, else scikit-learn; "
    "marked *ref*); points labelled otherwise, of which at saddle ties (+n); adjusted Rand index "
    "where it is below 1. Float32 distances alone make differences of about 1e-7."
)


def _table(cells: dict[Cell, dict[str, Row]], columns: Sequence[str], value: Any) -> str:
    lines = [
        "| data | points | dims | min_samples | " + " | ".join(_TITLES[c] for c in columns) + " |",
        "|---|---:|---:|---:|" + "---:|" * len(columns),
    ]
    for cell, found in cells.items():
        values = (value(found[c]) if c in found else "" for c in columns)
        lines.append(
            f"| {cell.data} | {cell.points:,} | {cell.dims} | {cell.min_samples} | "
            f"{' | '.join(values)} |"
        )
    return "\n".join(lines)


def _unfinished(row: Row) -> str:
    if row["status"] == "timed out":
        return f"> {row['limit']:g}"
    return {"skipped": "–", "failed": "failed"}.get(row["status"], "")


def _seconds(row: Row) -> str:
    return _unfinished(row) or _short(row["seconds"])


def _cpu(row: Row) -> str:
    return _unfinished(row) or _short(row["cpu_seconds"])


def _short(value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _memory(row: Row) -> str:
    if _unfinished(row):
        return _unfinished(row)
    host = "n/a" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
    return host if row.get("device_mib") is None else f"{host} + {row['device_mib']:.0f} on GPU"


def _agreement(row: Row) -> str:
    if _unfinished(row) or row.get("weights_difference") is None:
        return _unfinished(row) or "n/a"
    if row["reference"] == row["competitor"]:
        return "*ref*"
    text = f"{row['weights_difference']:.0e}, {row['differing']}"
    if row.get("saddle"):
        text += f" (+{row['saddle']})"
    return text if row["rand"] > 0.99995 else f"{text}, ARI {row['rand']:.3f}"


def _latency(rows: Sequence[Row]) -> str:
    lines = [
        "| picture | settings | points | clustering by | localize, s | of it clustering, s |",
        "|---|---|---:|---|---:|---:|",
    ]
    for row in rows:
        total, part = _seconds(row), _unfinished(row) or _short(row["clustering_seconds"])
        lines.append(
            f"| {row['picture']} | {row['settings']} | {row['points']:,} | {row['engine']} | "
            f"{total} | {part} |"
        )
    return "\n".join(lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Seconds over points on log axes, one panel for each dimension and min_samples; an open
    triangle is a run that was ended."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "tamperscope"
    from matplotlib import pyplot

    cells = by_cell(rows)
    dims = sorted({cell.dims for cell in cells})
    samples = sorted({cell.min_samples for cell in cells})
    figure, panels = pyplot.subplots(
        len(samples),
        len(dims),
        figsize=(3.4 * len(dims), 2.6 * len(samples)),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for i, k in enumerate(samples):
        for j, c in enumerate(dims):
            chosen = {x: f for x, f in cells.items() if (x.dims, x.min_samples) == (c, k)}
            _panel(panels[i][j], chosen)
            panels[i][j].set_title(f"{c} dimensions, min_samples {k}", fontsize=9)
    for panel in panels[-1]:
        panel.set_xlabel("points")
    for line in panels:
        line[0].set_ylabel("seconds")
    handles = {
        label: handle
        for panel in panels.ravel()
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _panel(panel: Any, cells: dict[Cell, dict[str, Row]]) -> None:
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.grid(True, which="major", alpha=0.3)
    styles = {"real": ("-", "o"), "synthetic": (":", "s"), "uniform": (":", "D")}
    for name in _COLUMNS:
        for data, (dashes, marker) in styles.items():
            rows = [f[name] for x, f in sorted(cells.items()) if x.data == data and name in f]
            done = [(r["points"], r["seconds"]) for r in rows if r["status"] == "done"]
            late = [(r["points"], r["limit"]) for r in rows if r["status"] == "timed out"]
            style = {"color": _COLOURS[name], "markersize": 4}
            if done:
                label = f"{_TITLES[name]}, {data}"
                panel.plot(*zip(*done, strict=True), dashes + marker, label=label, **style)
            if late:
                panel.plot(*zip(*late, strict=True), "^", fillstyle="none", **style)
