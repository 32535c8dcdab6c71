"""From finished inputs to rows, and what a row adds to the report."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tamperscope.batch.state import Entry, State


class Rows:
    """Makes the rows of a run.

    Args:
        state: of the run.
        settings: of the run.
    """

    def __init__(self, state: State, settings: Mapping[str, Any]) -> None:
        self._state = state
        described = settings["method"]
        self._common = {
            "method": described["method"],
            "preset": settings["preset"],
            "weights": described.get("weights", {}),
            "duplicate_of": None,
            "mask": None,
        }

    def of(
        self, entry: Entry, fresh: Mapping[bytes, Mapping[str, Any]]
    ) -> tuple[dict[str, Any], bytes]:
        """The row of an input, and its mask: of bytes that were answered before, a copy.

        Args:
            entry: the input.
            fresh: rows with answers by the bytes, beside those that the state knows.
        """
        names = {"id": entry.id, "source": entry.source}
        answer, mask = entry.answer, entry.mask
        if entry.sha is not None:
            first = fresh.get(entry.sha) or self._state.answered(entry.sha)
            if first is not None:
                own = {"duplicate_of": first["id"], "seconds": 0.0, "retries": 0}
                return {**first, **names, **own}, b""
            if answer is None:
                lender = self._state.lender(entry.sha)
                assert lender is not None
                answer, mask = lender.answer, lender.mask
        assert answer is not None
        return {**self._common, **names, **dataclasses.asdict(answer)}, mask


def counted(row: Mapping[str, Any]) -> dict[str, float]:
    """What a row adds to the counts of a run, by name."""
    copy = row["duplicate_of"] is not None
    if row["error"] is not None:
        names = ["rows", f"error: {row['error']}"]
    else:
        names = ["rows", "copies" if copy else "examined"]
    if row["flagged"]:
        names.append("flagged copies" if copy else "flagged")
    if row["note"] is not None and not copy:
        names.append("noted")
    return {**dict.fromkeys(names, 1.0), "retries": float(row["retries"])}


def add(counts: dict[str, float], more: Mapping[str, float]) -> None:
    """Add to counts, by name."""
    for name, n in more.items():
        counts[name] = counts.get(name, 0.0) + n
