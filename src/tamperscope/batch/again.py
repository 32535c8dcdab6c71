"""Rows that say an error of some kind, and what replaces them.

A row keeps its place: its part file is written anew under the same name, so that a reader finds
one row or the other. In this order, so that the end of the process at any moment loses nothing:

1. The rows are marked in the state; their inputs become work, and what was found waits there.
2. The version that the part file is going to be is noted.
3. Masks of new rows are written, to a file that no row points to yet.
4. The new part file takes the place of the old one.
5. In one transaction, marks and note go, and counts and answers become those of the new rows.

A part file that is the noted version already has come as far as 4, and only 5 is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tamperscope.batch import parts
from tamperscope.batch.config import Shard
from tamperscope.batch.rows import Rows, add, counted
from tamperscope.batch.state import REPLACING, SUCCEEDED, TRIED, Entry, Mark, State, named
from tamperscope.batch.work import Answer, holds_for_copies

NOT_LISTED = "not listed again"
"""Count of rows that stay because their inputs are not in the source any more."""

_KINDS = "retrying"
_ANSWER = tuple(field.name for field in fields(Answer))


class Again:
    """Replaces rows in the part files of a shard.

    Args:
        folder: of the run.
        shard: of the run.
        state: of the shard.
    """

    def __init__(self, folder: Path, shard: Shard, state: State) -> None:
        self._folder = folder
        self._shard = shard
        self._state = state

    def settle(self) -> None:
        """Finish a replacement that ended between its last two steps."""
        if (note := self._state.note(REPLACING)) is None:
            return
        number = int(note.partition(" ")[0])
        table = self._read(number)
        if _note(number, parts.version(table)) == note:
            self._commit(number, table)

    def mark(self, kinds: frozenset[str]) -> None:
        """Have inputs examined again whose rows say an error of these kinds.

        Where that was begun and not finished, it goes on: inputs that failed again do not count.
        """
        wanted = " ".join(sorted(kinds))
        if self._state.retrying and self._state.note(_KINDS) == wanted:
            return
        self._state.set_note(_KINDS, "")
        for number in range(self._state.parts()):
            errors = self._read(number, ["error"]).column("error").to_pylist()
            places = [i for i, error in enumerate(errors) if error in kinds]
            if places:
                table = self._read(number)
                marks = [_mark(place, _row(table, place)) for place in places]
                self._state.retry_parts(number, marks)
        self._state.retry_spool(kinds)
        self._state.set_note(_KINDS, wanted)

    def replace(self, rows: Rows, masks: str) -> None:
        """Replace the marked rows; called when all inputs have been listed and examined."""
        for number in self._state.marked_parts():
            self._commit(number, self._replaced(number, rows, masks))

    def _replaced(self, number: int, rows: Rows, masks: str) -> Any:
        table = self._read(number)
        name, version = parts.part_name(self._shard, number), parts.version(table) + 1
        part = parts.Part(self._folder, f"{name}-r{version}", masks)
        fresh: dict[bytes, dict[str, Any]] = {}
        places = []
        for mark in self._state.marks(number):
            old = _row(table, mark.row)
            entry = self._found(mark, old, fresh)
            if entry is None:
                if (sha := _lent(old)) is not None:
                    fresh[sha] = old
                continue
            row, mask = rows.of(entry, fresh)
            row = part.add(row, mask)
            if entry.sha is not None and row["duplicate_of"] is None:
                fresh[entry.sha] = row
            places.append(mark.row)
        if not places:
            return table
        self._state.set_note(REPLACING, _note(number, version))
        return part.replace(name, table, places, version)

    def _found(self, mark: Mark, old: dict[str, Any], fresh: Mapping[bytes, Any]) -> Entry | None:
        """What is known now of the input of a marked row; None where its row stays."""
        state = self._state
        if mark.key is not None and state.spooled_bytes(mark.key) is not None:
            return state.entry(mark.key)
        # It is not in the source any more. Others with its bytes may have been.
        if (sha := _lent(old)) is None:
            return None
        lender = state.lender(sha)
        known = lender is not None or sha in fresh or state.answered(sha) is not None
        if not known and old["duplicate_of"] is None:
            return None
        # Else what it was a copy of is something else now: it stands for itself.
        answer = Answer(**{name: old[name] for name in _ANSWER}) if lender is None else None
        return Entry(old["id"], old["source"], sha, answer, b"")

    def _commit(self, number: int, table: Any) -> None:
        counts: dict[str, float] = {}
        answers: dict[bytes, dict[str, Any]] = {}
        for mark in self._state.marks(number):
            row = _row(table, mark.row)
            add(counts, counted(row))
            add(counts, {name: -n for name, n in mark.was.items()})
            if mark.key is None or self._state.entry(mark.key) is None:
                known = row["error"] is None
                add(counts, {TRIED: 1, SUCCEEDED: 1} if known else {NOT_LISTED: 1})
            if (sha := _lent(row)) is not None and row["duplicate_of"] is None:
                answers[sha] = row
        self._state.commit_replaced(number, answers, counts)

    def _read(self, number: int, columns: Sequence[str] | None = None) -> Any:
        return parts.read_part(self._folder, parts.part_name(self._shard, number), columns)


def _row(table: Any, place: int) -> dict[str, Any]:
    """One row of a part file, as it was before it was written."""
    (row,) = table.slice(place, 1).drop_columns(["mask_counts"]).to_pylist()
    return {**row, "weights": dict(row["weights"])}


def _mark(place: int, row: Mapping[str, Any]) -> Mark:
    lent = None if _lent(row) is None else Answer(**{name: row[name] for name in _ANSWER})
    name = named(row["id"], row["source"])
    return Mark(row=place, name=name, answer=lent, was=counted(row))


def _lent(row: Mapping[str, Any]) -> bytes | None:
    """The bytes that a row's answer holds for, whatever their name."""
    if not holds_for_copies(row["sha256"], row["error"]):
        return None
    return bytes.fromhex(row["sha256"])


def _note(number: int, version: int) -> str:
    return f"{number} {version}"
