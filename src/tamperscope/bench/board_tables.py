"""Tables of a benchmark record: Markdown for people, CSV for spreadsheets."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from tamperscope.bench.board import Board, kinds_of, rules
from tamperscope.bench.markdown import NOTHING, escaped, number, table

MOST_ASKED_FOR = ("f1", "iou", "mcc", "auc", "flagged_pixels", "flagged_pictures", "image_auc")
"""Numbers of a short table."""

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
            if table := robustness_table(board, dataset, protocol):
                title = board.columns(protocol)[0].heading
                parts += [f"{title} under perturbations:\n", table]
    if left := _excluded(board):
        parts += ["## Left out\n", left]
    return "\n".join(parts)


def main_table(board: Board, dataset: str, protocol: str) -> str:
    """Methods and references in rows, the protocol's numbers in columns, its name in each row."""
    columns = board.columns(protocol)
    head = ["Method", "Protocol", *(column.heading for column in columns), "s / picture"]
    lines = []
    for name in board.ranked(dataset, protocol):
        cell = board.cell(name, dataset, protocol)
        found = [cell["numbers"][column.name] for column in columns]
        values = [number(one, with_interval=i == 0) for i, one in enumerate(found)]
        lines.append([board.title(name), protocol, *values, _seconds(cell["seconds"])])
    return table(head, lines, left=2)


def kinds_table(board: Board, dataset: str, protocol: str) -> str:
    """The first three numbers for each kind of forgery; "" for a set of one kind."""
    kinds = kinds_of(board, dataset, protocol)
    if not kinds:
        return ""
    columns = board.columns(protocol)[:3]
    order = " / ".join(column.heading for column in columns)
    lines = []
    for name in board.ranked(dataset, protocol):
        by_kind = board.cell(name, dataset, protocol)["by_kind"]
        cells = [" / ".join(number(by_kind[k][c.name]) for c in columns) for k in kinds]
        lines.append([board.title(name), protocol, *cells])
    return table(["Method", "Protocol", *(f"{kind}: {order}" for kind in kinds)], lines, left=2)


def robustness_table(board: Board, dataset: str, protocol: str) -> str:
    """The main number: perturbations in rows, methods in columns; "" for a single condition."""
    if len(board.conditions) < 2:
        return ""
    names = board.ranked(dataset, protocol)
    lines = []
    for condition in board.conditions:
        values = [number(board.value(name, dataset, protocol, condition)) for name in names]
        lines.append([condition, protocol, *values])
    return table(["Perturbation", "Protocol", *map(board.title, names)], lines, left=2)


def accuracy_tables(records: Sequence[Mapping[str, Any]], protocol: str = "ours") -> str:
    """The numbers most asked for, of all records of unperturbed pictures in one table."""
    boards = [board for board in map(Board, records) if len(board.conditions) == 1]
    boards = [board for board in boards if protocol in board.protocols]
    lines: list[list[str]] = []
    titles: dict[str, str] = {}
    for board in boards:
        columns = {c.name: c for c in board.columns(protocol) if c.name in MOST_ASKED_FOR}
        titles |= {name: column.heading for name, column in columns.items()}
        for dataset in board.datasets:
            for method in board.ranked(dataset, protocol):
                cell = board.cell(method, dataset, protocol)
                counted = f"{cell['pictures']['forged']} + {cell['pictures']['authentic']}"
                found = [cell["numbers"][name] for name in columns]
                values = [number(one, with_interval=i < 2) for i, one in enumerate(found)]
                seconds = _seconds(cell["seconds"])
                title = board.title(method)
                lines.append([title, f"{dataset} ({counted})", protocol, *values, seconds])
    head = ["Method", "Set (forged + authentic)", "Protocol", *titles.values(), "s / picture"]
    return table(head, lines, left=3)


def protocol_tables(records: Sequence[Mapping[str, Any]]) -> str:
    """The main number of every protocol side by side: the same answers, scored differently."""
    parts = []
    for board in map(Board, records):
        if len(board.conditions) > 1 or len(board.protocols) < 2:
            continue
        names = [f"{name}: {board.columns(name)[0].heading}" for name in board.protocols]
        for dataset in board.datasets:
            order = board.ranked(dataset, next(iter(board.protocols)))
            lines = [
                [
                    board.title(m),
                    dataset,
                    *(number(board.value(m, dataset, p)) for p in board.protocols),
                ]
                for m in order
            ]
            parts.append(table(["Method", "Set", *names], lines, left=2))
    return "\n".join(parts)


def robustness_tables(records: Sequence[Mapping[str, Any]]) -> str:
    """The main number under every perturbation, for each record that has any."""
    parts = []
    for board in map(Board, records):
        for protocol in board.protocols:
            for dataset in board.datasets:
                if found := robustness_table(board, dataset, protocol):
                    title = board.columns(protocol)[0].heading
                    about = f"{title} on {dataset}, {board.pictures(dataset, protocol)}:"
                    parts += [f"{about}\n", found]
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


def _seconds(found: Mapping[str, Any] | None) -> str:
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
