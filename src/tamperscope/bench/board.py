"""A benchmark record, looked up by method, set, perturbation and protocol: what all views share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tamperscope.errors import DataError
from tamperscope.perturb import IDENTITY, parse

KIND = "benchmark"

Interval = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One number of a protocol."""

    name: str
    title: str
    higher_is_better: bool
    oracle: bool
    image_level: bool = False
    meaning: str = ""

    @property
    def heading(self) -> str:
        """Title, with a mark where the number was chosen with the ground truth in hand."""
        marked = not self.oracle or "oracle" in self.title
        return self.title if marked else f"{self.title} (oracle)"


class Board:
    """Read access to one record.

    Raises:
        DataError: a record of another kind.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        if record["kind"] != KIND:
            raise DataError(
                f"a record of kind {record['kind']!r}: give one of kind {KIND!r}, which "
                "`tamperscope bench` writes"
            )
        self.record = record
        self._cells = {
            (c["method"], c["dataset"], c["condition"], c["protocol"]): c
            for c in record["numbers"]["cells"]
        }

    @cached_property
    def methods(self) -> dict[str, Mapping[str, Any]]:
        """Description by name, in the order they were run."""
        return {row["name"]: row for row in self.record["method"]["rows"]}

    @cached_property
    def datasets(self) -> dict[str, Mapping[str, Any]]:
        """Description by name."""
        return dict(self.record["dataset"])

    @cached_property
    def protocols(self) -> dict[str, Mapping[str, Any]]:
        """Description by name."""
        return dict(self.record["protocol"])

    @cached_property
    def conditions(self) -> list[str]:
        """Names of the perturbations, in order."""
        return [one["name"] for one in self.record["numbers"]["conditions"]]

    @property
    def plain(self) -> str:
        """The condition main tables are about: the pictures as they are, if they were measured."""
        return IDENTITY.name if IDENTITY.name in self.conditions else self.conditions[0]

    def cell(
        self, method: str, dataset: str, protocol: str, condition: str | None = None
    ) -> Mapping[str, Any]:
        """One cell of the record; by default of the plain condition."""
        found: Mapping[str, Any] = self._cells[
            method, dataset, self.plain if condition is None else condition, protocol
        ]
        return found

    def columns(self, protocol: str) -> list[Column]:
        """The numbers of a protocol, its main one first."""
        return [
            Column(
                name=n["name"],
                title=n["title"],
                higher_is_better=bool(n["higher_is_better"]),
                oracle=bool(n["oracle"]),
                image_level=n.get("level") == "image",
                meaning=str(n.get("meaning", "")),
            )
            for n in self.protocols[protocol]["numbers"]
        ]

    def shown(self, dataset: str, protocol: str) -> list[Column]:
        """The numbers that any method has on the set, its leading one first: a set without
        authentic pictures, or without forged regions, has not all."""
        cells = [self.cell(name, dataset, protocol)["numbers"] for name in self.methods]
        columns = self.columns(protocol)
        known = [c for c in columns if any(n[c.name] is not None for n in cells)] or columns
        aucs = [c for c in known if c.image_level and c.title.startswith("image AUC")]
        first = known[0] if columns[0] in known or not aucs else aucs[0]
        return [first, *(c for c in known if c != first)]

    def leading(self, dataset: str, protocol: str) -> list[Column]:
        """The set's main number, and the image AUC where that is another."""
        columns = self.shown(dataset, protocol)
        aucs = [c for c in columns if c.image_level and c.title.startswith("image AUC")]
        return list(dict.fromkeys([columns[0], *aucs[:1]]))

    def value(
        self,
        method: str,
        dataset: str,
        protocol: str,
        condition: str | None = None,
        column: Column | None = None,
    ) -> Interval | None:
        """One number there; by default the main one."""
        column = column or self.leading(dataset, protocol)[0]
        numbers = self.cell(method, dataset, protocol, condition)["numbers"]
        found: Interval | None = numbers[column.name]
        return found

    def ranked(
        self,
        dataset: str,
        protocol: str,
        column: Column | None = None,
        *,
        references: int | None = None,
    ) -> list[str]:
        """Methods, best number first (by default the main one), then the references likewise: all,
        or as many.
        """
        by = column or self.leading(dataset, protocol)[0]

        def place(name: str) -> tuple[bool, float]:
            found = self.value(name, dataset, protocol, column=by)
            mean = float("-inf") if found is None else found["mean"]
            return bool(self.methods[name]["reference"]), -mean if by.higher_is_better else mean

        order = sorted(self.methods, key=place)
        first = sum(not self.methods[name]["reference"] for name in order)
        return order if references is None else order[: first + references]

    def differences(self, dataset: str, protocol: str) -> list[Mapping[str, Any]]:
        """Paired differences between methods on the set, by numbers of the protocol."""
        found = self.record["numbers"].get("differences", [])
        return [d for d in found if (d["dataset"], d["protocol"]) == (dataset, protocol)]

    def changes(self, dataset: str, protocol: str, column: Column) -> dict[tuple[str, str], Any]:
        """(method, condition) -> paired change of a number from the plain condition."""
        found = self.record["numbers"].get("changes", [])
        wanted = (dataset, protocol, column.name)
        return {
            (c["method"], c["condition"]): c
            for c in found
            if (c["dataset"], c["protocol"], c["number"]) == wanted
        }

    def title(self, method: str) -> str:
        """Of a method, with its name in the tables where the title does not tell it."""
        about = self.methods[method]
        preset = about.get("preset")
        title = f"{about['title']} ({preset})" if preset else str(about["title"])
        return f"Reference: {title}" if about["reference"] else title

    def pictures(self, dataset: str, protocol: str) -> str:
        """``918 forged and 400 authentic pictures``, as they were counted; with the number of
        faces, videos or photos where the forged ones share them."""
        method = next(iter(self.methods))
        found = self.cell(method, dataset, protocol)["pictures"]
        sources = self.datasets[dataset].get("sources")
        shared = f" (of {sources} sources)" if sources else ""
        return f"{found['forged']} forged{shared} and {found['authentic']} authentic pictures"


def rules(protocol: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The sentences of a described protocol, with names for people."""
    return [
        (name.replace("_", " "), text)
        for name, text in protocol.items()
        if isinstance(text, str) and name not in ("name", "title")
    ]


def by_family(record: Mapping[str, Any]) -> dict[tuple[str, str], list[tuple[float, str]]]:
    """(perturbation, its parameter) -> rising (value, condition), where there are two or more.

    Conditions of a chain, or away from a default, belong to no family.
    """
    found: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for one in record["numbers"]["conditions"]:
        axis = parse(one["name"]).axis
        if axis is not None:
            found.setdefault(axis[:2], []).append((axis[2], one["name"]))
    return {axis: sorted(points) for axis, points in found.items() if len(points) > 1}


def kinds_of(board: Board, dataset: str, protocol: str) -> Sequence[str]:
    """Kinds of forgery that were summarized apart."""
    first = next(iter(board.methods))
    return list(board.cell(first, dataset, protocol)["by_kind"])
