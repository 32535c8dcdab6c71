"""The pictures of a benchmark worth looking at: best, worst, most surprising."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.benchmark import Outcome
from tamperscope.bench.cache import Shelf
from tamperscope.bench.cells import Cell, Measured, Place, predict_again
from tamperscope.bench.pictures import Loaded
from tamperscope.bench.protocols import Prediction, Protocol
from tamperscope.bench.protocols.base import map_at, mask_at
from tamperscope.report import overlay as draw
from tamperscope.report import wording

IMAGE_SCORE = "image score"
SIDE = 300
"""Pictures are shown with no side longer than this."""


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One picture: id, a line about it, and two JPEGs: with its ground truth, and answered."""

    id: str
    line: str
    truth: bytes
    answer: bytes


@dataclass(frozen=True, kw_only=True)
class Group:
    """Pictures shown together, and the rule that chose them."""

    title: str
    rule: str
    exhibits: tuple[Exhibit, ...]


@dataclass(frozen=True, kw_only=True)
class Room:
    """The groups of one method on one set."""

    method: str
    dataset: str
    groups: tuple[Group, ...]


Value = Callable[[Measured], float]


def showcase(outcome: Outcome, shelf: Shelf, *, each: int = 3) -> list[Room]:
    """``each`` pictures a group, for every method that is no reference, by the first protocol.

    Taken from the unperturbed pictures if they were measured, else from the first perturbation.
    """
    plan = outcome.plan
    references = [entrant.name for entrant in plan.entrants if entrant.reference]
    rooms = []
    for entrant in plan.entrants:
        for dataset in () if entrant.reference or each < 1 else plan.datasets:
            place = Place(method=entrant.name, dataset=dataset, condition=plan.plain)
            best = _best_reference(outcome, place, references, plan.protocols[0])
            groups = _groups(outcome, place, plan.protocols[0], best, shelf, each)
            rooms.append(Room(method=entrant.name, dataset=dataset, groups=tuple(groups)))
    return rooms


def main_values(cell: Cell, protocol: Protocol) -> dict[str, float]:
    """The protocol's main number of each forged picture that has one, rising with quality; image
    scores where none has, as for wholly generated pictures."""
    main = protocol.numbers[0]
    sign = 1 if main.higher_is_better else -1
    rows = zip(cell.pictures, cell.rows(protocol), strict=True)
    found = {
        m.ref.key: sign * row.get(main.name, math.nan)
        for m, row in rows
        if m.sample.label == "forged"
    }
    known = {key: value for key, value in found.items() if not math.isnan(value)}
    scores = {m.ref.key: m.entry.image_score for m in cell.pictures if m.ref.key in found}
    return known or scores


def _best_reference(
    outcome: Outcome, place: Place, references: Iterable[str], protocol: Protocol
) -> dict[str, tuple[float, str]]:
    """The reference that does best on each picture, with its number."""
    best: dict[str, tuple[float, str]] = {}
    for name in references:
        other = Place(method=name, dataset=place.dataset, condition=place.condition)
        for key, value in main_values(outcome.cells[other], protocol).items():
            best[key] = max(best.get(key, (-math.inf, "")), (value, name))
    return best


def _groups(
    outcome: Outcome,
    place: Place,
    protocol: Protocol,
    references: Mapping[str, tuple[float, str]],
    shelf: Shelf,
    each: int,
) -> list[Group]:
    job = outcome.jobs[place]
    groups = []
    for choice in _choices(outcome.cells[place], protocol, references, each):
        made = []
        for m in choice.pictures:
            found = predict_again(job, m.ref, shelf)
            if found is not None:
                made.append(_exhibit(m, choice.caption(m), *found))
        if made:
            groups.append(Group(title=choice.title, rule=choice.rule, exhibits=tuple(made)))
    return groups


class _Choice(NamedTuple):
    title: str
    rule: str
    pictures: Sequence[Measured]
    caption: Callable[[Measured], str]


def _choices(
    cell: Cell, protocol: Protocol, references: Mapping[str, tuple[float, str]], each: int
) -> Iterator[_Choice]:
    """No forged picture is in two groups."""
    values = main_values(cell, protocol)
    title = _main_title(cell, protocol)
    forged = [m for m in cell.pictures if m.ref.key in values]

    def value(m: Measured) -> float:
        return values[m.ref.key]

    def line(m: Measured) -> str:
        score = f"image score {wording.score(m.entry.image_score)}"
        return score if title == IMAGE_SCORE else f"{title} {abs(value(m)):.2f}, {score}"

    best = _top(forged, value, each)
    yield _Choice("Best", f"forged pictures with the best {title}", best, line)
    rest = [m for m in forged if m not in best]
    worst = _top(rest, lambda m: -value(m), each)
    yield _Choice("Worst", f"forged pictures with the worst {title}", worst, line)
    if title != IMAGE_SCORE:
        yield _beaten([m for m in rest if m not in worst], title, values, references, each)
    yield _alarms(cell, each)


def _main_title(cell: Cell, protocol: Protocol) -> str:
    """Of what `main_values` are."""
    main = protocol.numbers[0]
    rows = (row for row in cell.rows(protocol) if row["tampered"])
    known = any(not math.isnan(row.get(main.name, math.nan)) for row in rows)
    return main.title if known else IMAGE_SCORE


def _beaten(
    pictures: Iterable[Measured],
    title: str,
    values: Mapping[str, float],
    references: Mapping[str, tuple[float, str]],
    each: int,
) -> _Choice:
    def lead(m: Measured) -> float:
        return references.get(m.ref.key, (-math.inf, ""))[0] - values[m.ref.key]

    def caption(m: Measured) -> str:
        found, name = references[m.ref.key]
        return f"{title} {abs(values[m.ref.key]):.2f}, {name} {abs(found):.2f}"

    return _Choice(
        "Surprising: beaten by a reference",
        "other forged pictures on which a predictor that knows nothing of forensics is "
        f"furthest ahead in {title}",
        _top([m for m in pictures if lead(m) > 0], lead, each),
        caption,
    )


def _alarms(cell: Cell, each: int) -> _Choice:
    marked = [m for m in cell.pictures if m.sample.label == "authentic" and m.entry.flagged > 0]
    return _Choice(
        "Surprising: authentic, yet marked",
        "authentic pictures with a mask, highest image score first",
        _top(marked, lambda m: m.entry.image_score, each),
        lambda m: (
            f"{wording.percent(m.entry.flagged)} marked,"
            f" image score {wording.score(m.entry.image_score)}"
        ),
    )


def _top(pictures: Sequence[Measured], value: Value, each: int) -> list[Measured]:
    return sorted(pictures, key=lambda m: (-value(m), m.sample.id))[:each]


def _exhibit(m: Measured, line: str, loaded: Loaded, prediction: Prediction) -> Exhibit:
    pixels = draw.shrink(loaded.image.pixels, SIDE)
    size = (pixels.shape[0], pixels.shape[1])
    truth = np.zeros(loaded.image.size, np.bool_) if loaded.truth is None else loaded.truth
    score = np.clip(map_at(prediction, size), 0, 1)
    answer = draw.overlay(pixels, score, _small(prediction.mask, loaded.image.size, size))
    return Exhibit(
        id=m.sample.id,
        line=line,
        truth=draw.encode_jpeg(
            draw.draw_contour(pixels, _small(truth, loaded.image.size, size)), quality=82
        ),
        answer=draw.encode_jpeg(answer, quality=82),
    )


def _small(
    mask: NDArray[np.bool_], picture: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.bool_]:
    small = draw.shrink_mask(mask_at(mask, picture), SIDE)
    return small if small.shape == size else mask_at(small, size)
