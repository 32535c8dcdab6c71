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


def markdown_table(records: Sequence[Record], *, intervals: bool = False) -> str:
    """Localization records as one table, by dataset, best F1 first; other kinds are left out.

    intervals: add the bootstrap interval to F1, IoU and AUC. Image AUC is "files / recompressed".
    Raises DataError when the records follow different protocols, which no table may mix.
    """
    chosen = [r for r in records if r["kind"] == "localization"]
    protocols = {r["protocol"]["name"] for r in chosen}
    if len(protocols) > 1:
        raise DataError(
            f"records of different protocols ({', '.join(sorted(protocols))}): "
            "make one table for each"
        )
    columns: tuple[Column, ...] = (
        ("Method", _title),
        ("Set", _dataset),
        ("F1", lambda r: number(r["numbers"]["tampered"]["f1"], intervals)),
        ("IoU", lambda r: number(r["numbers"]["tampered"]["iou"], intervals)),
        ("AUC", lambda r: number(r["numbers"]["tampered"]["auc"], intervals)),
        ("MCC", lambda r: number(r["numbers"]["tampered"]["mcc"])),
        ("Authentic: pixels flagged", lambda r: _share(r["numbers"]["authentic"], "pixels")),
        ("pictures flagged", lambda r: _share(r["numbers"]["authentic"], "pictures")),
        ("Image AUC", _image_auc),
        ("s / picture", lambda r: seconds(r["numbers"]["seconds"]["median"])),
    )
    return _table(sorted(chosen, key=_order), columns)


def markdown_kinds(records: Sequence[Record]) -> str:
    """F1 / IoU / AUC of each kind of forgery, one line a method and set; "" without kinds."""
    chosen = [r for r in records if r["kind"] == "localization" and r["numbers"]["by_kind"]]
    if not chosen:
        return ""
    kinds = sorted({kind for r in chosen for kind in r["numbers"]["by_kind"]})
    columns: list[Column] = [("Method", _title), ("Set", _dataset)]
    columns += [(kind, lambda r, kind=kind: _kind(r, kind)) for kind in kinds]  # type: ignore[misc]
    return _table(sorted(chosen, key=_order), columns)


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


def _order(record: Record) -> tuple[str, float]:
    f1 = record["numbers"]["tampered"]["f1"]
    return record["dataset"]["name"], -(f1["mean"] if f1 else -1.0)


def _title(record: Record) -> str:
    method = record["method"]
    preset = method.get("preset")
    return f"{method['title']} ({preset})" if preset else str(method["title"])


def _dataset(record: Record) -> str:
    data = record["dataset"]
    return f"{data['name']} ({data['forged']} + {data['authentic']})"


def _share(authentic: Mapping[str, Any], what: str) -> str:
    return percent(authentic[f"flagged_{what}"])


def _image_auc(record: Record) -> str:
    both = record["numbers"]["image_auc"]
    if both["original"] is None:
        return NOTHING
    return f"{number(both['original'])} / {number(both['recompressed'])}"


def _kind(record: Record, kind: str) -> str:
    numbers = record["numbers"]["by_kind"].get(kind)
    if numbers is None:
        return NOTHING
    return " / ".join(number(numbers[name]) for name in ("f1", "iou", "auc"))


def _machine(record: Record) -> str:
    machine = record["environment"]["machine"]
    return f"{machine['cpu']}, {machine.get('threads', machine['cores'])} threads"


def _speed(record: Record, size: str) -> str:
    found = record["numbers"]["seconds"].get(size)
    return NOTHING if found is None else seconds(found["median"])
