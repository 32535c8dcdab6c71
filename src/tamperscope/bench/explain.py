"""How one result moves across protocols: the same predictions, every number, and why it differs."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.evaluation import Interval
from tamperscope.bench.protocols import OURS, PROTOCOLS, Number, Prediction, Protocol, Row
from tamperscope.errors import DataError
from tamperscope.provenance import JSON

Truth = NDArray[np.bool_] | None


@dataclass(frozen=True, kw_only=True)
class Line:
    """One number of one protocol.

    Attributes:
        protocol, number, title: names and the column's title.
        value, low, high: the number and its interval; None where the set has none.
        count: pictures it rests on.
        oracle: chosen with the ground truth in hand.
        against: the number of protocol ``ours`` it is read as, "" for none.
        difference: value less that number, where there are both.
        why: what makes the difference; for ``ours``, what the number is.
    """

    protocol: str
    number: str
    title: str
    value: float | None
    low: float | None
    high: float | None
    count: int
    oracle: bool
    against: str
    difference: float | None
    why: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The table, a line for each protocol and number, ``ours`` first."""

    lines: tuple[Line, ...]

    def to_dict(self) -> dict[str, JSON]:
        """Plain values, for JSON."""
        return {"lines": [asdict(line) for line in self.lines]}

    def to_markdown(self) -> str:
        """A table: protocol, number, value, difference from ours, reason; what the set has no
        number for is left out."""
        rows = [
            "| Protocol | Number | Value | From ours | Why |",
            "|---|---|---:|---:|---|",
        ]
        rows += [_markdown(line) for line in self.lines if line.value is not None]
        return "\n".join(rows) + "\n"


def explain(
    predictions: Iterable[Prediction],
    truths: Iterable[Truth],
    *,
    protocols: Iterable[Protocol] = tuple(PROTOCOLS.values()),
) -> Explanation:
    """Score the same predictions by every protocol, one picture at a time.

    Args:
        predictions: one for each picture; an iterator will do, none is kept.
        truths: bool (h, w), True = forged, or None for an authentic picture, in the same order.
        protocols: which to show; ``ours`` is computed in any case, to compare with.

    Raises:
        DataError: no pictures, lists of different lengths, or arrays that do not belong together.
    """
    shown = tuple(protocols)
    scored = {protocol.name: protocol for protocol in (OURS, *shown)}
    rows: dict[str, list[Row]] = {name: [] for name in scored}
    count = 0
    for prediction, truth in zip_longest(predictions, truths, fillvalue=_MISSING):
        count += 1
        if isinstance(prediction, _Missing) or isinstance(truth, _Missing):
            raise DataError(
                f"picture {count} has no {_side(prediction)}: give as many ground truths as "
                "predictions, None for an authentic picture"
            )
        for name, protocol in scored.items():
            rows[name].append(protocol.score(prediction, truth))
    if not count:
        raise DataError("no picture to explain: pass at least one prediction")
    summaries = {name: protocol.summarize(rows[name]) for name, protocol in scored.items()}
    return explain_summaries(summaries, protocols=shown)


def explain_summaries(
    summaries: Mapping[str, Mapping[str, Interval | None]],
    *,
    protocols: Iterable[Protocol] = tuple(PROTOCOLS.values()),
) -> Explanation:
    """The same from what ``Protocol.summarize`` returned, by the protocol's name.

    Args:
        summaries: of ``ours`` and of every protocol shown.
        protocols: which to show.

    Raises:
        DataError: a summary is missing.
    """
    shown = sorted(protocols, key=lambda p: p.name != OURS.name)
    missing = [name for name in (OURS.name, *(p.name for p in shown)) if name not in summaries]
    if missing:
        raise DataError(f"no summary of protocol {missing[0]}: score the pictures by it first")
    ours = summaries[OURS.name]
    return Explanation(
        lines=tuple(
            _line(protocol, number, summaries[protocol.name], ours)
            for protocol in shown
            for number in protocol.numbers
        )
    )


_AGAINST = {number.name: number.title for number in OURS.numbers}


class _Missing:
    """Where one of the two lists has ended."""


_MISSING = _Missing()


def _side(prediction: object) -> str:
    return "prediction" if isinstance(prediction, _Missing) else "ground truth"


def _line(
    protocol: Protocol,
    number: Number,
    found: Mapping[str, Interval | None],
    ours: Mapping[str, Interval | None],
) -> Line:
    here = found[number.name]
    there = ours.get(number.against)
    return Line(
        protocol=protocol.name,
        number=number.name,
        title=number.title,
        value=None if here is None else here["mean"],
        low=None if here is None else here["low"],
        high=None if here is None else here["high"],
        count=0 if here is None else int(here["count"]),
        oracle=number.oracle,
        against=number.against,
        difference=here["mean"] - there["mean"] if here and there else None,
        why=number.why or number.meaning,
    )


def _markdown(line: Line) -> str:
    moved = ""
    if line.difference is not None:
        moved = f"{line.difference:+.3f} ({_AGAINST.get(line.against, line.against)})"
    return f"| {line.protocol} | {line.title} | {line.value:.3f} | {moved} | {line.why} |"
