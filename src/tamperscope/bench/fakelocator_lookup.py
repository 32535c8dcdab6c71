"""What the record of a FakeLocator study holds, looked up by its tables and pictures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tamperscope.bench.dolos_tables import Matrix
from tamperscope.bench.fakelocator_sets import UNSEEN
from tamperscope.errors import DataError

Record = Mapping[str, Any]
Row = Mapping[str, Any]
Cell = Mapping[str, Any]

KIND = "fakelocator-study"


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """One line of the table across generators: accuracies, None where not measured.

    Attributes:
        row: the localizer trained without augmentation, or the one there is.
        trained_on: its generators in words.
        generator: tested on.
        seen: whether training saw it.
        raw, partial: of the classifiers, without and with partial augmentation.
        clustering: of single-sample clustering with the features of the latter (the former, where
            there is no latter): the mapping ``accuracy`` of the record.
    """

    row: str
    trained_on: str
    generator: str
    seen: bool
    raw: float | None
    partial: float | None
    clustering: Mapping[str, Any] | None


def crossings(record: Record) -> list[Crossing]:
    """The lines of the table across generators."""
    check(record)
    groups: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in trained_rows(record):
        if not row["regions"] and row["augment"] in ("none", "real"):
            key = (row["method"], tuple(row["generators"]), row["attention"])
            groups.setdefault(key, {}).setdefault(row["augment"], row)
    places = crossed_places(record)
    lines = []
    for rows in groups.values():
        for generator, kind in places:
            raw, partial = rows.get("none"), rows.get("real")
            used = partial or raw
            assert used is not None
            lines.append(
                Crossing(
                    row=(raw or used)["name"],
                    trained_on=used["trained_on"],
                    generator=generator,
                    seen=generator in used["generators"],
                    raw=accuracy_of(record, raw, generator, kind),
                    partial=accuracy_of(record, partial, generator, kind),
                    clustering=clustering_of(record, used, generator, kind),
                )
            )
    return lines


def crossing_matrix(record: Record) -> Matrix | None:
    """Accuracy of classifiers: training (rows) against test generators; None for fewer than two."""
    check(record)
    places = crossed_places(record)
    rows = [row for row in trained_rows(record) if not row["regions"]]
    if len(rows) < 2 or not places:
        return None
    return Matrix(
        title=f"Accuracy, {record['method']['variant']} faces",
        columns=tuple(generator for generator, _ in places),
        rows=tuple(row["name"] for row in rows),
        values=tuple(tuple(accuracy_of(record, row, *place) for place in places) for row in rows),
        seen=tuple(tuple(g in row["generators"] for g, _ in places) for row in rows),
    )


def check(record: Record) -> None:
    """DataError for a record of another kind."""
    if record.get("kind") != KIND:
        raise DataError(
            f"a record of kind {record.get('kind')!r} has no such tables: give one written by "
            "tamperscope bench fakelocator"
        )


def find_cell(record: Record, row: str, generator: str, variant: str) -> Cell | None:
    """The numbers of a row at a place."""
    wanted = (row, generator, variant)
    for cell in record["numbers"]["cells"]:
        if (cell["row"], cell["generator"], cell["variant"]) == wanted:
            return dict(cell)
    return None


def places_of(record: Record) -> list[tuple[str, str]]:
    """(generator, variant) of everything measured, the unseen generator last."""
    cells: Iterable[Cell] = record["numbers"]["cells"]
    found = dict.fromkeys((cell["generator"], cell["variant"]) for cell in cells)
    return sorted(found, key=lambda place: place[0] == UNSEEN)


def crossed_places(record: Record) -> list[tuple[str, str]]:
    """One place for each generator: of the record's variant where it is there."""
    chosen: dict[str, str] = {}
    for generator, variant in places_of(record):
        if variant == record["method"]["variant"] or generator not in chosen:
            chosen[generator] = variant
    return list(chosen.items())


def trained_rows(record: Record) -> list[Row]:
    """The localizers, without the references."""
    return [row for row in record["method"]["rows"] if not row["reference"]]


def row_named(record: Record, name: str) -> Row:
    """The row of that name."""
    return next(row for row in record["method"]["rows"] if row["name"] == name)


def accuracy_of(record: Record, row: Row | None, generator: str, variant: str) -> float | None:
    """Accuracy of a row's decision at a place."""
    cell = None if row is None else find_cell(record, row["name"], generator, variant)
    if cell is None or cell["detection"] is None:
        return None
    return float(cell["detection"]["accuracy"]["mean"])


def clustering_of(record: Record, row: Row, generator: str, variant: str) -> Cell | None:
    """Accuracy of single-sample clustering with a row's features at a place."""
    for found in record["numbers"]["clustering"]:
        if (found["row"], found["generator"], found["variant"]) == (
            row["name"],
            generator,
            variant,
        ):
            return dict(found["accuracy"])
    return None


def title_of(row: Row) -> str:
    """A localizer's name, a reference's title."""
    return str(row["title"] if row["reference"] else row["name"])
