"""Two records of the same benchmark, before and after: has anything become worse?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope.bench.board import KIND, Board
from tamperscope.bench.markdown import NOTHING, difference, number, p_value, table
from tamperscope.bench.paired import (
    IMAGE_AUC,
    IMAGE_SCORE,
    Values,
    compare_scores,
    compare_values,
    unpack,
)
from tamperscope.bench.protocols import DOLOS, MVSS
from tamperscope.bench.record import read_record
from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics.compare import Comparison as Paired
from tamperscope.provenance import config_digest

Interval = Mapping[str, Any]
Key = tuple[str, ...]

TOLERANCE = 0.005
"""A smaller change is none, however certain."""


_REDRAWN = (DOLOS.name, "ap")
"""The number whose interval is that of redraws of the same pictures."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One number in both records.

    paired: the second less the first, picture by picture, where both records keep the values.
    verdict: "worse", "better" or "same".
    """

    key: Key
    before: Interval
    after: Interval
    paired: Paired | None
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Every number that both records hold; remarks on what cannot be compared."""

    changes: tuple[Change, ...]
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "changes": [
                {**vars(c), "key": list(c.key), "paired": c.paired and vars(c.paired)}
                for c in self.changes
            ],
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
    values: Values | None = None
    forged: int | None = None
    """``values`` are image scores, of so many forged pictures first."""
    pictures: str = ""
    """Digest of the set's pictures with their ground truths; empty where the record has none."""
    redrawn: bool = False
    """Whether its interval is that of redraws of the same pictures."""


def compare_files(before: Path, after: Path, *, tolerance: float = TOLERANCE) -> Comparison:
    """`compare` of two record files; DataError names the file that is no such record."""
    old, new = (read_record(path, kind=KIND) for path in (before, after))
    return compare(old, new, tolerance=tolerance)


def compare(
    before: Mapping[str, Any], after: Mapping[str, Any], *, tolerance: float = TOLERANCE
) -> Comparison:
    """Number by number: has it become worse by more than ``tolerance``?

    Where both records keep every picture's value, the 95 % interval of the paired difference must
    lie on the bad side of 0 (bootstrap over pictures; DeLong's for AUCs); elsewhere the second
    mean beyond the bad end of the first record's interval. Intervals are not corrected for their
    number: of changes that are none, one in forty is called worse.

    A number that the second record lacks, or has on other pictures or by another protocol, is a
    remark and no verdict.

    Raises:
        DataError: records that hold no common number, or not of kind ``benchmark``.
        ConfigError: a negative tolerance.
    """
    if not tolerance >= 0:
        raise ConfigError(f"tolerance is {tolerance}: give 0 or more")
    old, new = dict(_numbers(Board(before))), dict(_numbers(Board(after)))
    changes, remarks = [], []
    for key, one in old.items():
        other = new.get(key)
        what = ", ".join(key)
        if other is None:
            remarks.append(f"only in the first record: {what}")
        elif one.basis != other.basis:
            differ = "other pictures" if one.basis[0] != other.basis[0] else "another protocol"
            remarks.append(f"{differ} in the second record: {what}")
        elif one.pictures and other.pictures and one.pictures != other.pictures:
            # The same files can be masked by each other's masks, or by masks read another way.
            remarks.append(f"other ground truths in the second record: {what}")
        elif one.redrawn and one.value["mean"] != other.value["mean"]:
            moved = f"{one.value['mean']:.3f} to {other.value['mean']:.3f}"
            remarks.append(f"{moved}, without an interval over pictures to judge by: {what}")
        else:
            changes.append(_change(key, one, other, tolerance))
    remarks += [f"only in the second record: {', '.join(key)}" for key in new if key not in old]
    if not changes:
        raise DataError(
            "the two records hold no number of the same method, pictures and protocol: "
            "compare two runs of the same benchmark"
        )
    return Comparison(changes=tuple(changes), remarks=tuple(remarks))


def markdown_comparison(found: Comparison) -> str:
    """What has changed, and how much else there is."""
    moved = [c for c in found.changes if c.verdict != "same"]
    parts = []
    if moved:
        lines = [
            [
                *c.key,
                number(c.before, with_interval=True),
                number(c.after),
                difference(None if c.paired is None else vars(c.paired)),
                NOTHING if c.paired is None else p_value(c.paired.p_value),
                c.verdict,
            ]
            for c in sorted(moved, key=lambda c: c.verdict, reverse=True)
        ]
        head = ["Method", "Set", "Perturbation", "Protocol", "Number"]
        parts.append(
            table([*head, "Before", "After", "Paired difference", "p", ""], lines, left=len(head))
        )
    worse, better = len(found.regressions), len(moved) - len(found.regressions)
    same = len(found.changes) - len(moved)
    parts.append(f"{worse} worse, {better} better, {same} the same.\n")
    return "\n".join(parts)


def _change(key: Key, one: _Number, other: _Number, tolerance: float) -> Change:
    mean = other.value["mean"]
    paired = _paired(one, other)
    if paired is not None:
        moved, low, high = paired.difference, paired.low, paired.high
    else:
        moved = mean - one.value["mean"]
        low, high = mean - one.value["high"], mean - one.value["low"]
    verdict = "same"
    if abs(moved) > tolerance and (low > 0 or high < 0):
        verdict = "better" if (moved > 0) == one.higher_is_better else "worse"
    return Change(key=key, before=one.value, after=other.value, paired=paired, verdict=verdict)


def _paired(one: _Number, other: _Number) -> Paired | None:
    if one.values is None or other.values is None or one.pictures != other.pictures:
        return None
    if one.forged is None:
        return compare_values(other.values, one.values)
    forged = np.arange(len(one.values)) < one.forged
    return compare_scores(other.values, one.values, forged)


def _numbers(board: Board) -> Iterator[tuple[Key, _Number]]:
    bases = {name: config_digest(about) for name, about in board.protocols.items()}
    kept = _Kept(board.record["numbers"])
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
                        pictures=kept.pictures(cell["dataset"]),
                        redrawn=(cell["protocol"], column.name) == _REDRAWN,
                        **kept.of(names, column.name),
                    ),
                )


class _Kept:
    """Every picture's values in a record, by cell and number."""

    def __init__(self, numbers: Mapping[str, Any]) -> None:
        self._pictures = numbers.get("pictures", {})
        parts = ("method", "dataset", "condition", "protocol", "number")
        self._lines = {tuple(v[p] for p in parts): v["values"] for v in numbers.get("values", [])}

    def pictures(self, dataset: str) -> str:
        """Digest of a set's pictures with their ground truths."""
        return str(self._pictures.get(dataset, {}).get("order", ""))

    def of(self, names: Sequence[str], number: str) -> dict[str, Any]:
        """Fields of a `_Number`."""
        *cell, protocol = names
        scores = number == IMAGE_AUC and protocol != MVSS.name
        key = (*cell, "", IMAGE_SCORE) if scores else (*cell, protocol, number)
        if key not in self._lines:
            return {}
        about = self._pictures[names[1]]
        return {
            "values": unpack(self._lines[key]),
            "forged": about["forged"] if scores else None,
        }
