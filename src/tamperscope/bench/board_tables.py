"""Tables of a benchmark record: Markdown for people, CSV for spreadsheets."""

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from tamperscope.bench.board import Board, Column, kinds_of, rules
from tamperscope.bench.markdown import NOTHING, difference, escaped, number, p_value, table

MOST_ASKED_FOR = ("f1", "iou", "mcc", "auc", "flagged_pixels", "flagged_pictures", "image_auc")
"""Numbers of a short table."""
ALIKE = "jpeg:90"
"""The perturbation that brings both classes of a set to one compression."""
DIFFERENCE_HEAD = (
    "Method",
    "Protocol",
    "less",
    "Number",
    "Difference",
    "p",
    "Pictures better / worse",
)
PAIRED = "the same pictures answered by both; p corrected (Holm) over the lines of one number"

CSV_COLUMNS = (
    "method",
    "reference",
    "dataset",
    "condition",
    "kind",
    "protocol",
    "number",
    "mean",
    "low",
    "high",
    "count",
)


def markdown_benchmark(record: Mapping[str, Any]) -> str:
    """Everything in a record of kind ``benchmark``: a section for each protocol and set.

    Raises:
        DataError: a record of another kind.
    """
    board = Board(record)
    parts = ["# Benchmark\n"]
    for protocol, about in board.protocols.items():
        parts.append(f"## Protocol {protocol}: {about['title']}\n")
        parts.append("".join(f"- {name}: {text}\n" for name, text in rules(about)))
        for dataset in board.datasets:
            parts.append(f"### {dataset}, protocol {protocol}\n")
            parts.append(f"{_about(board, dataset, protocol)}\n")
            parts.append(main_table(board, dataset, protocol))
            if table := kinds_table(board, dataset, protocol):
                parts += ["By kind of forgery:\n", table]
            if table := differences_table(board, dataset, protocol):
                parts += [f"Paired differences, {PAIRED}:\n", table]
            parts += _under_perturbations(board, dataset, protocol)
    if left := _excluded(board):
        parts += ["## Left out\n", left]
    return "\n".join(parts)


def summary_benchmark(record: Mapping[str, Any]) -> str:
    """A line for each method and set: every number of a single protocol, the main one of several.

    Raises:
        DataError: a record of another kind.
    """
    board = Board(record)
    first = next(iter(board.protocols))
    parts = ["# Benchmark\n"]
    for dataset in board.datasets:
        several = len(board.protocols) > 1
        parts += [f"## {dataset}\n", f"{_about(board, dataset, first)}\n"]
        parts.append(sides_table(board, dataset) if several else main_table(board, dataset, first))
    return "\n".join(parts)


def _under_perturbations(board: Board, dataset: str, protocol: str) -> list[str]:
    if len(board.conditions) < 2:
        return []
    parts = []
    for column in board.leading(dataset, protocol):
        made = robustness_table(board, dataset, protocol, column)
        parts += [f"{column.heading} under perturbations:\n", made]
        if table := changes_table(board, dataset, protocol, column):
            parts += [f"{column.heading}: change from the unperturbed pictures, paired:\n", table]
    return parts


def main_table(board: Board, dataset: str, protocol: str) -> str:
    """Methods and references in rows, the protocol's numbers in columns, its name in each row."""
    columns = board.shown(dataset, protocol)
    head = ["Method", "Protocol", *(column.heading for column in columns), "s / picture"]
    lines = []
    for name in board.ranked(dataset, protocol):
        cell = board.cell(name, dataset, protocol)
        found = [cell["numbers"][column.name] for column in columns]
        values = [number(one, with_interval=i == 0) for i, one in enumerate(found)]
        lines.append([board.title(name), protocol, *values, median_seconds(cell["seconds"])])
    return table(head, lines, left=2)


def kinds_table(board: Board, dataset: str, protocol: str, *, references: int | None = None) -> str:
    """The first three numbers for each kind of forgery; "" for a set of one kind. ``references``:
    only as many, the best ones.
    """
    kinds = kinds_of(board, dataset, protocol)
    if not kinds:
        return ""
    columns = board.shown(dataset, protocol)[:3]
    order = " / ".join(column.heading for column in columns)
    lines = []
    for name in board.ranked(dataset, protocol, references=references):
        by_kind = board.cell(name, dataset, protocol)["by_kind"]
        cells = [" / ".join(number(by_kind[k][c.name]) for c in columns) for k in kinds]
        lines.append([board.title(name), protocol, *cells])
    return table(["Method", "Protocol", *(f"{kind}: {order}" for kind in kinds)], lines, left=2)


def robustness_table(board: Board, dataset: str, protocol: str, column: Column) -> str:
    """One number: perturbations in rows, methods in columns."""
    names = board.ranked(dataset, protocol, column)
    lines = []
    for condition in board.conditions:
        values = [number(board.value(n, dataset, protocol, condition, column)) for n in names]
        lines.append([condition, protocol, *values])
    return table(["Perturbation", "Protocol", *map(board.title, names)], lines, left=2)


def changes_table(board: Board, dataset: str, protocol: str, column: Column) -> str:
    """Paired changes with their intervals, methods in columns; "" where none were recorded."""
    found = board.changes(dataset, protocol, column)
    measured = {name for name, _ in found}
    names = [n for n in board.ranked(dataset, protocol, column) if n in measured]
    lines = [
        [condition, protocol, *(difference(found.get((name, condition))) for name in names)]
        for condition in board.conditions
        if any(at == condition for _, at in found)
    ]
    head = ["Perturbation", "Protocol", *map(board.title, names)]
    return table(head, lines, left=2) if lines else ""


def differences_table(board: Board, dataset: str, protocol: str) -> str:
    """Paired differences between methods, and from the best reference; "" without any."""
    lines = difference_lines(board, dataset, protocol)
    return table(DIFFERENCE_HEAD, lines, left=4) if lines else ""


def difference_lines(board: Board, dataset: str, protocol: str) -> list[list[str]]:
    """Cells under `DIFFERENCE_HEAD`."""
    titles = {column.name: column.heading for column in board.columns(protocol)}
    return [
        [
            board.title(one["method"]),
            protocol,
            board.title(one["other"]),
            titles[one["number"]],
            difference(one),
            p_value(one["p_value"]),
            f"{one['better']} / {one['worse']}" if one["better"] + one["worse"] else NOTHING,
        ]
        for one in board.differences(dataset, protocol)
    ]


def accuracy_tables(
    records: Sequence[Mapping[str, Any]], protocol: str = "ours", *, references: int | None = None
) -> str:
    """The numbers most asked for on the unperturbed pictures, of all records in one table; the
    image AUC also with every picture recompressed alike, where that was measured. ``references``:
    only as many for each set, the best ones.
    """
    lines: list[list[str]] = []
    titles: dict[str, str] = {}
    for board in (board for board in map(Board, records) if protocol in board.protocols):
        columns = {c.name: c for c in board.columns(protocol) if c.name in MOST_ASKED_FOR}
        titles |= {name: column.heading for name, column in columns.items()}
        for dataset in board.datasets:
            for method in board.ranked(dataset, protocol, references=references):
                cell = board.cell(method, dataset, protocol)
                counted = f"{cell['pictures']['forged']} + {cell['pictures']['authentic']}"
                found = [cell["numbers"][name] for name in columns]
                values = [number(one, with_interval=i < 2) for i, one in enumerate(found)]
                if ALIKE in board.conditions and values[-1] != NOTHING:
                    alike = board.cell(method, dataset, protocol, ALIKE)["numbers"]
                    values[-1] += f" / {number(alike[list(columns)[-1]])}"
                seconds = median_seconds(cell["seconds"])
                title = board.title(method)
                lines.append([title, f"{dataset} ({counted})", protocol, *values, seconds])
    heads = [f"{t} (files / {ALIKE})" if n == "image_auc" else t for n, t in titles.items()]
    head = ["Method", "Set (forged + authentic)", "Protocol", *heads, "s / picture"]
    return table(head, lines, left=3)


def kinds_tables(
    records: Sequence[Mapping[str, Any]], protocol: str = "ours", *, references: int | None = None
) -> str:
    """The first numbers for each kind of forgery, a table for each set of several kinds.
    ``references``: as for `accuracy_tables`.
    """
    boards = [board for board in map(Board, records) if protocol in board.protocols]
    parts = [
        f"{dataset}:\n\n{made}"
        for board in boards
        for dataset in board.datasets
        if (made := kinds_table(board, dataset, protocol, references=references))
    ]
    return "\n".join(parts)


def protocol_tables(records: Sequence[Mapping[str, Any]]) -> str:
    """The main number of every protocol side by side: the same answers, scored differently."""
    parts = []
    for board in map(Board, records):
        if len(board.protocols) < 2:
            continue
        parts += [sides_table(board, dataset) for dataset in board.datasets]
    return "\n".join(parts)


def sides_table(board: Board, dataset: str) -> str:
    """The main number of every protocol on one set, in the order of the first."""
    names = [f"{p}: {board.leading(dataset, p)[0].heading}" for p in board.protocols]
    lines = []
    for method in board.ranked(dataset, next(iter(board.protocols))):
        found = [board.value(method, dataset, protocol) for protocol in board.protocols]
        values = [number(one, with_interval=i == 0) for i, one in enumerate(found)]
        lines.append([board.title(method), dataset, *values])
    return table(["Method", "Set", *names], lines, left=2)


def robustness_tables(records: Sequence[Mapping[str, Any]]) -> str:
    """The leading numbers under every perturbation, for each record that has any."""
    parts = []
    for board in map(Board, records):
        if len(board.conditions) < 2:
            continue
        for protocol, dataset in product(board.protocols, board.datasets):
            counted = board.pictures(dataset, protocol)
            for column in board.leading(dataset, protocol):
                made = robustness_table(board, dataset, protocol, column)
                parts += [f"{column.heading} on {dataset}, {counted}:\n", made]
    return "\n".join(parts)


def csv_benchmark(record: Mapping[str, Any]) -> str:
    """One line for each number; kind "" is over all pictures.

    Raises:
        DataError: a record of another kind.
    """
    board = Board(record)
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for cell in record["numbers"]["cells"]:
        reference = int(bool(board.methods[cell["method"]]["reference"]))
        for kind, numbers in {"": cell["numbers"], **cell["by_kind"]}.items():
            for name, found in numbers.items():
                row = {key: cell[key] for key in ("method", "dataset", "condition", "protocol")}
                values = {key: found[key] for key in CSV_COLUMNS[-4:]} if found else {}
                writer.writerow(
                    {**row, "reference": reference, "kind": kind, "number": name, **values}
                )
    return out.getvalue()


def _about(board: Board, dataset: str, protocol: str) -> str:
    condition = "" if len(board.conditions) == 1 else f", perturbation {board.plain}"
    return f"{board.pictures(dataset, protocol)}{condition}. Brackets: 95 % bootstrap interval."


def median_seconds(found: Mapping[str, Any] | None) -> str:
    """Two digits of a cell's seconds per picture."""
    return NOTHING if found is None else f"{found['median']:.2g}"


def _excluded(board: Board) -> str:
    lines = [
        f"- {dataset}: {escaped(one['id'])}: {escaped(one['why'])}"
        for dataset, about in board.datasets.items()
        for one in about["excluded"]
    ]
    shown = lines[:50]
    if len(lines) > len(shown):
        shown.append(f"- and {len(lines) - len(shown)} more, all in the record")
    return "\n".join(shown) + "\n" if shown else ""
