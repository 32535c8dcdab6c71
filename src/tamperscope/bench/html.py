"""The page of a benchmark: tables, plots and pictures in one file that asks for nothing outside."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tamperscope.bench.board import Board, Column, kinds_of, rules
from tamperscope.bench.board_tables import DIFFERENCE_HEAD, PAIRED, difference_lines, median_seconds
from tamperscope.bench.markdown import difference, number
from tamperscope.bench.showcase import Room
from tamperscope.report.html import data_uri, render_page
from tamperscope.report.plain import printable

SHADES = 10
"""Steps of the colour scale of a heat table."""


def benchmark_page(
    record: Mapping[str, Any], rooms: Sequence[Room] = (), plots: Sequence[Path] = ()
) -> str:
    """HTML text of the page; write it as UTF-8.

    Args:
        record: of kind ``benchmark``.
        rooms: pictures to show.
        plots: SVG files to show.

    Raises:
        DataError: a record of another kind.
    """
    board = Board(record)
    environment = record["environment"]
    return render_page(
        "benchmark.html",
        sheets=("style.css", "benchmark.css"),
        methods=[_method(board, name) for name in board.methods],
        protocols=[
            {"name": name, "title": about["title"], "rules": rules(about)}
            for name, about in board.protocols.items()
        ],
        sections=[_section(board, d, p) for d in board.datasets for p in board.protocols],
        paired={"about": PAIRED, "head": DIFFERENCE_HEAD},
        conditions=_conditions(record),
        rooms=[_room(board, room) for room in rooms],
        plots=[_plot(path) for path in plots if path.suffix == ".svg" and _is_curve(path)],
        excluded=[
            (printable(f"{dataset}: {one['id']}"), printable(one["why"]))
            for dataset, about in board.datasets.items()
            for one in about["excluded"]
        ],
        about=[
            ("Made", environment["date"]),
            ("tamperscope", _tool(environment["tool"])),
            ("Machine", f"{environment['machine']['cpu']}, {environment['machine']['system']}"),
            ("Command", printable(environment["command"])),
            *((printable(f"Set {n}"), f"sha256 {a['sha256']}") for n, a in board.datasets.items()),
        ],
    )


def shade(value: float | None, low: float, high: float) -> str:
    """Class of a heat table's cell: ``h0`` (low) to ``h9``, "" for no value."""
    if value is None:
        return ""
    step = int(SHADES * (value - low) / (high - low)) if high > low else 0
    return f"h{min(max(step, 0), SHADES - 1)}"


def _tool(tool: Mapping[str, Any]) -> str:
    return f"version {tool['version']}, revision {tool['commit'] or 'not known'}"


def _method(board: Board, name: str) -> dict[str, Any]:
    about = board.methods[name]
    weights = {
        key: sha for key, sha in board.record["weights"].items() if key.startswith(f"{name}: ")
    }
    return {
        "name": printable(name),
        "title": printable(board.title(name)),
        "rule": printable(str(about["settings"].get("rule", ""))),
        "weights": [printable(f"{key.partition(': ')[2]} {sha}") for key, sha in weights.items()],
    }


def _conditions(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": one["name"], "steps": [(s["does"], s["mask"]) for s in one["steps"]]}
        for one in record["numbers"]["conditions"]
    ]


def _section(board: Board, dataset: str, protocol: str) -> dict[str, Any]:
    columns = board.shown(dataset, protocol)
    names = board.ranked(dataset, protocol)
    lines = []
    for name in names:
        cell = board.cell(name, dataset, protocol)
        found = [cell["numbers"][c.name] for c in columns]
        values = [number(one, with_interval=i == 0) for i, one in enumerate(found)]
        lines.append(_line(board, name, [*values, median_seconds(cell["seconds"])]))
    return {
        "title": printable(f"{dataset}, protocol {protocol}"),
        "protocol": protocol,
        "pictures": board.pictures(dataset, protocol),
        "head": [*(column.heading for column in columns), "s / picture"],
        "meanings": [*(column.meaning for column in columns), "median seconds for one picture"],
        "lines": lines,
        "kinds": _kinds(board, dataset, protocol, names),
        "paired": _paired(board, dataset, protocol),
        "heats": [_heat(board, dataset, protocol, c) for c in board.leading(dataset, protocol)]
        if len(board.conditions) > 1
        else [],
    }


def _line(board: Board, name: str, values: Sequence[Any]) -> dict[str, Any]:
    return {
        "title": printable(board.title(name)),
        "reference": bool(board.methods[name]["reference"]),
        "values": values,
    }


def _kinds(
    board: Board, dataset: str, protocol: str, names: Sequence[str]
) -> dict[str, Any] | None:
    kinds = kinds_of(board, dataset, protocol)
    columns = board.shown(dataset, protocol)[:3]
    if not kinds:
        return None
    lines = []
    for name in names:
        found = board.cell(name, dataset, protocol)["by_kind"]
        values = [" / ".join(number(found[k][c.name]) for c in columns) for k in kinds]
        lines.append(_line(board, name, values))
    order = " / ".join(c.heading for c in columns)
    return {"head": [printable(f"{kind}: {order}") for kind in kinds], "lines": lines}


def _paired(board: Board, dataset: str, protocol: str) -> list[list[str]]:
    """Cells of the table of paired differences."""
    return [
        [printable(text) for text in line] for line in difference_lines(board, dataset, protocol)
    ]


def _heat(board: Board, dataset: str, protocol: str, column: Column) -> dict[str, Any]:
    names = board.ranked(dataset, protocol, column)
    found = {
        (name, c): board.value(name, dataset, protocol, c, column)
        for name in names
        for c in board.conditions
    }
    means = [v["mean"] for v in found.values() if v is not None]
    low, high = min(means, default=0.0), max(means, default=1.0)
    if not column.higher_is_better:
        low, high = high, low
    changed = board.changes(dataset, protocol, column)
    lines = []
    for condition in board.conditions:
        values = [found[name, condition] for name in names]
        cells = [
            {
                "text": number(v),
                "shade": shade(None if v is None else _signed(v["mean"], low, high), 0.0, 1.0),
                "note": _change(changed.get((name, condition))),
            }
            for name, v in zip(names, values, strict=True)
        ]
        lines.append({"condition": condition, "cells": cells})
    return {
        "title": column.heading,
        "head": [printable(board.title(name)) for name in names],
        "lines": lines,
    }


def _change(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else f"paired change {difference(found)}"


def _signed(value: float, low: float, high: float) -> float:
    """Where a value lies between worst (0) and best (1)."""
    return (value - low) / (high - low) if high != low else 0.0


def _room(board: Board, room: Room) -> dict[str, Any]:
    return {
        "title": printable(f"{board.title(room.method)} on {room.dataset}"),
        "groups": [
            {
                "title": group.title,
                "rule": group.rule,
                "exhibits": [
                    {
                        "id": printable(one.id),
                        "line": one.line,
                        "truth": data_uri(one.truth, "jpeg"),
                        "answer": data_uri(one.answer, "jpeg"),
                    }
                    for one in group.exhibits
                ],
            }
            for group in room.groups
        ],
    }


def _is_curve(path: Path) -> bool:
    # The page has heat tables of its own, whose numbers can be copied.
    return path.name.startswith("curves-")


def _plot(path: Path) -> dict[str, str]:
    return {"name": printable(path.stem), "uri": data_uri(path.read_bytes(), "svg+xml")}
