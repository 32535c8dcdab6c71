"""Markdown tables from benchmark records."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tamperscope.bench.markdown import NOTHING, number, percent, seconds, table
from tamperscope.bench.record import read_record
from tamperscope.errors import DataError

Record = Mapping[str, Any]
Column = tuple[str, Callable[[Record], str]]


def load_records(directory: Path, *, kind: str | None = None) -> list[dict[str, Any]]:
    """The records in a folder's `*.json` files, in file-name order; `kind`: only these.

    Raises DataError for a missing folder or a file that is not a record.
    """
    if not directory.is_dir():
        raise DataError(f"no folder {directory}: give the folder of benchmark records")
    records = [read_record(path) for path in sorted(directory.glob("*.json"))]
    return [r for r in records if kind is None or r["kind"] == kind]


def markdown_content(records: Sequence[Record]) -> str:
    """Content-overlap records: how far the mask of an authentic picture follows its object."""
    chosen = [r for r in records if r["kind"] == "content-overlap"]

    def column(
        name: str, write: Callable[[Mapping[str, Any] | None], str] = number
    ) -> Callable[[Record], str]:
        return lambda r: write(r["numbers"][name])

    columns: tuple[Column, ...] = (
        ("Method", _title),
        ("Pictures", lambda r: str(r["numbers"]["count"])),
        ("IoU with object", column("iou")),
        ("F1 with object", column("f1")),
        ("object flagged", column("flagged_object", percent)),
        ("background flagged", column("flagged_background", percent)),
        ("AUC of object", column("auc")),
    )
    return _table(sorted(chosen, key=_title), columns)


def markdown_speed(records: Sequence[Record]) -> str:
    """Speed records: median seconds per picture, a column for each picture size."""
    chosen = [r for r in records if r["kind"] == "speed"]
    sizes = sorted({size for r in chosen for size in r["numbers"]["seconds"]}, key=float)
    columns: list[Column] = [("Method", _title), ("Machine", _machine)]
    columns += [(f"{size} Mpx", lambda r, size=size: _speed(r, size)) for size in sizes]  # type: ignore[misc]
    return _table(sorted(chosen, key=_title), columns)


def _table(records: Iterable[Record], columns: Sequence[Column]) -> str:
    lines = ([cell(record) for _, cell in columns] for record in records)
    return table([name for name, _ in columns], lines, left=2)


def _title(record: Record) -> str:
    method = record["method"]
    preset = method.get("preset")
    return f"{method['title']} ({preset})" if preset else str(method["title"])


def _machine(record: Record) -> str:
    machine = record["environment"]["machine"]
    return f"{machine['cpu']}, {machine.get('threads', machine['cores'])} threads"


def _speed(record: Record, size: str) -> str:
    found = record["numbers"]["seconds"].get(size)
    return NOTHING if found is None else seconds(found["median"])
