"""Two records of the same benchmark, before and after: has anything become worse?"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamperscope.bench.board import KIND, Board
from tamperscope.bench.markdown import number, table
from tamperscope.bench.record import read_record
from tamperscope.errors import DataError
from tamperscope.provenance import config_digest

Interval = Mapping[str, Any]
Key = tuple[str, ...]

LOCALIZATION = {
    ("tampered", "f1"): True,
    ("tampered", "iou"): True,
    ("tampered", "mcc"): True,
    ("tampered", "auc"): True,
    ("authentic", "flagged_pixels"): False,
    ("authentic", "flagged_pictures"): False,
    ("image_auc", "original"): True,
    ("image_auc", "recompressed"): True,
}
"""Numbers of the records that hold one method on one set, and whether more is better."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One number in both records. verdict: "worse" and "better" are beyond the first's interval."""

    key: Key
    before: Interval
    after: Interval
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Every number that both records hold; remarks on what cannot be compared."""

    changes: tuple[Change, ...]
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "changes": [{**vars(c), "key": list(c.key)} for c in self.changes],
            "remarks": list(self.remarks),
            "regressions": len(self.regressions),
        }

    @property
    def regressions(self) -> tuple[Change, ...]:
        """What became worse."""
        return tuple(c for c in self.changes if c.verdict == "worse")


@dataclass(frozen=True, kw_only=True)
class _Number:
    value: Interval
    higher_is_better: bool
    basis: tuple[str, str]
    """What has to agree before two values compare: pictures and protocol."""


def compare_files(before: Path, after: Path) -> Comparison:
    """`compare` of two record files; DataError for a file that is no such record."""
    return compare(read_record(before), read_record(after))


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """Number by number: worse is a mean beyond the bad end of the first record's interval.

    A number that the second record lacks, or has on other pictures or by another protocol, is a
    remark and no verdict.

    Raises:
        DataError: records that hold no common number, or are of another kind.
    """
    old, new = dict(_numbers(before)), dict(_numbers(after))
    changes, remarks = [], []
    for key, one in old.items():
        other = new.get(key)
        what = ", ".join(key)
        if other is None:
            remarks.append(f"only in the first record: {what}")
        elif one.basis != other.basis:
            differ = "other pictures" if one.basis[0] != other.basis[0] else "another protocol"
            remarks.append(f"{differ} in the second record: {what}")
        else:
            changes.append(_change(key, one, other))
    remarks += [f"only in the second record: {', '.join(key)}" for key in new if key not in old]
    if not changes:
        raise DataError(
            "the two records hold no number of the same method, pictures and protocol: "
            "compare two runs of the same benchmark"
        )
    return Comparison(changes=tuple(changes), remarks=tuple(remarks))


def markdown_comparison(found: Comparison) -> str:
    """What changed beyond its interval, and how much else there is."""
    moved = [c for c in found.changes if c.verdict != "same"]
    parts = []
    if moved:
        lines = [
            [*c.key, number(c.before, with_interval=True), number(c.after), c.verdict]
            for c in sorted(moved, key=lambda c: c.verdict, reverse=True)
        ]
        between = ["Perturbation", "Protocol"] if len(moved[0].key) > 3 else []
        head = ["Method", "Set", *between, "Number"]
        parts.append(table([*head, "Before", "After", ""], lines, left=len(head)))
    worse, better = len(found.regressions), len(moved) - len(found.regressions)
    same = len(found.changes) - len(moved)
    parts.append(f"{worse} worse, {better} better, {same} within the interval.\n")
    return "\n".join(parts)


def _change(key: Key, one: _Number, other: _Number) -> Change:
    low, high, mean = one.value["low"], one.value["high"], other.value["mean"]
    beyond = "better" if mean > high else "worse" if mean < low else "same"
    if not one.higher_is_better and beyond != "same":
        beyond = "worse" if beyond == "better" else "better"
    return Change(key=key, before=one.value, after=other.value, verdict=beyond)


def _numbers(record: Mapping[str, Any]) -> Iterator[tuple[Key, _Number]]:
    if record["kind"] == KIND:
        yield from _from_board(Board(record))
    elif record["kind"] == "localization":
        yield from _from_localization(record)
    else:
        raise DataError(
            f"records of kind {record['kind']!r} cannot be compared: give two of kind "
            f"{KIND!r} or 'localization'"
        )


def _from_board(board: Board) -> Iterator[tuple[Key, _Number]]:
    bases = {name: config_digest(about) for name, about in board.protocols.items()}
    for cell in board.record["numbers"]["cells"]:
        pictures = board.datasets[cell["dataset"]]["sha256"]
        names = [cell[part] for part in ("method", "dataset", "condition", "protocol")]
        for column in board.columns(cell["protocol"]):
            found = cell["numbers"].get(column.name)
            if found is not None:
                yield (
                    (*names, column.name),
                    _Number(
                        value=found,
                        higher_is_better=column.higher_is_better,
                        basis=(pictures, bases[cell["protocol"]]),
                    ),
                )


def _from_localization(record: Mapping[str, Any]) -> Iterator[tuple[Key, _Number]]:
    basis = (record["dataset"]["sha256"], config_digest(record["protocol"]))
    names = _method_and_set(record)
    for (part, name), good in LOCALIZATION.items():
        found = record["numbers"][part][name]
        if found is not None:
            yield (
                (*names, f"{part} {name}"),
                _Number(value=found, higher_is_better=good, basis=basis),
            )


def _method_and_set(record: Mapping[str, Any]) -> Sequence[str]:
    method: Iterable[str | None] = (record["method"]["name"], record["method"].get("preset"))
    return [":".join(word for word in method if word), str(record["dataset"]["name"])]
