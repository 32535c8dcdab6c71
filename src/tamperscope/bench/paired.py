"""Two answers to the same pictures, compared picture by picture.

Records keep the values that such comparisons need for every method that is no reference: a line of
text for each cell and number, the pictures in the order of the set, ``-`` where there is no value.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.cells import Cell, Place
from tamperscope.bench.pictures import Surveyed
from tamperscope.bench.protocols import OURS, Number, Protocol, reduce
from tamperscope.errors import DataError
from tamperscope.metrics.compare import Comparison, compare_auc, compare_means, holm
from tamperscope.provenance import JSON, config_digest

Values = NDArray[np.float64]
"""One value for each picture of a set, in the set's order, NaN for none."""

FURTHER = ("auc", "flagged_pixels")
"""Numbers of protocol ``ours`` that are kept for every picture beside its main one."""
IMAGE_SCORE = "image_score"
IMAGE_AUC = "image_auc"
PERMUTATIONS = 2000
_NONE = "-"


def per_picture(protocol: Protocol) -> list[Number]:
    """Numbers whose values are kept: the main one, for ``ours`` also ``FURTHER``."""
    wanted = FURTHER if protocol.name == OURS.name else ()
    return [
        number
        for place, number in enumerate(protocol.numbers)
        if number.reduce is reduce.mean and (place == 0 or number.name in wanted)
    ]


def values_of(cell: Cell, data: Surveyed, protocol: Protocol, number: Number) -> Values:
    """One number of every picture of the set; NaN where ``number`` is not over the picture."""
    rows = zip(cell.pictures, cell.rows(protocol), strict=True)
    found = {
        m.ref.key: row.get(number.name, math.nan)
        for m, row in rows
        if number.over == "all" or bool(row["tampered"]) == (number.over == "tampered")
    }
    return _aligned(found, data)


def scores_of(cell: Cell, data: Surveyed) -> Values:
    """The image score of every picture of the set."""
    return _aligned({m.ref.key: m.entry.image_score for m in cell.pictures}, data)


def forged_of(data: Surveyed) -> NDArray[np.bool_]:
    """Which pictures of the set are forged."""
    return np.array([ref.sample.label == "forged" for ref in data.refs], np.bool_)


def _aligned(found: Mapping[str, float], data: Surveyed) -> Values:
    return np.array([found.get(ref.key, math.nan) for ref in data.refs], np.float64)


def compare_values(first: Values, second: Values) -> Comparison | None:
    """The first less the second on the pictures where both have a value; None without any."""
    known = ~np.isnan(first) & ~np.isnan(second)
    if not known.any():
        return None
    return compare_means(first[known], second[known], permutations=PERMUTATIONS)


def compare_scores(first: Values, second: Values, forged: NDArray[np.bool_]) -> Comparison | None:
    """The AUC of the first image scores less that of the second; None where it needs more."""
    known = ~np.isnan(first) & ~np.isnan(second)
    labels = forged[known]
    if min(labels.sum(), (~labels).sum()) < 2:
        return None
    return compare_auc(first[known], second[known], labels)


# --- in records ------------------------------------------------------------------------------


def pack(values: Values, digits: int = 3) -> str:
    """Values as one line of text, rounded to ``digits`` decimals."""
    return " ".join(_NONE if math.isnan(v) else _short(v, digits) for v in values)


def unpack(text: str) -> Values:
    """The values of such a line.

    Raises:
        DataError: words that are no numbers.
    """
    try:
        words = text.split()
        return np.array([math.nan if w == _NONE else float(w) for w in words], np.float64)
    except ValueError as error:
        raise DataError("a record's values are no numbers: measure again") from error


def _short(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".") or "0"
    return text.replace("0.", ".", 1) if abs(value) < 1 and "." in text else text.replace("-0", "0")


def order_of(data: Surveyed) -> dict[str, JSON]:
    """What has to agree before two lines of values are of the same pictures in the same order."""
    return {
        "order": config_digest([ref.key for ref in data.refs]),
        "forged": int(forged_of(data).sum()),
        "count": len(data.refs),
    }


def lines_of(
    cell: Cell, data: Surveyed, protocols: Iterable[Protocol]
) -> Iterator[dict[str, JSON]]:
    """{"protocol", "number", "values"} of one cell; the image score has protocol ""."""
    yield {
        "protocol": "",
        "number": IMAGE_SCORE,
        "values": pack(scores_of(cell, data), digits=5),
    }
    for protocol in protocols:
        for number in per_picture(protocol):
            values = values_of(cell, data, protocol, number)
            yield {"protocol": protocol.name, "number": number.name, "values": pack(values)}


# --- within one benchmark --------------------------------------------------------------------


def paired_numbers(
    cells: Mapping[Place, Cell],
    sets: Iterable[Surveyed],
    protocols: Sequence[Protocol],
    *,
    plain: str,
    references: Sequence[str],
) -> dict[str, JSON]:
    """What a record holds of single pictures and of paired differences.

    Args:
        plain: the condition that methods are compared under, and perturbations with.
        references: names of those that are references; nothing of their pictures is kept.

    Returns:
        "pictures" (by set, see `order_of`), "values" (see `lines_of`), "differences" (between
        methods) and "changes" (from the plain condition to another).
    """
    found: dict[str, list[JSON]] = {"values": [], "differences": [], "changes": []}
    pictures: dict[str, JSON] = {}
    for data in sets:
        here = {place: cell for place, cell in cells.items() if place.dataset == data.name}
        base = {place.method: c for place, c in here.items() if place.condition == plain}
        pictures[data.name] = order_of(data)
        found["differences"] += [
            {"dataset": data.name, "condition": plain, **one}
            for one in differences(base, data, protocols, references)
        ]
        for place, cell in here.items():
            if place.method in references:
                continue
            named: dict[str, JSON] = {**vars(place)}
            found["values"] += [{**named, **one} for one in lines_of(cell, data, protocols)]
            if place.condition != plain:
                changed = changes(cell, base[place.method], data, protocols)
                found["changes"] += [{**named, **one} for one in changed]
    return {"pictures": pictures, **found}


def changes(
    cell: Cell, plain: Cell, data: Surveyed, protocols: Sequence[Protocol]
) -> Iterator[dict[str, JSON]]:
    """Each protocol's main number, and the image AUC of ``ours``, less what it was before."""
    forged = forged_of(data)
    for protocol in protocols:
        for number in per_picture(protocol)[:1]:
            after, before = (values_of(c, data, protocol, number) for c in (cell, plain))
            if (found := compare_values(after, before)) is not None:
                yield {"protocol": protocol.name, "number": number.name, **vars(found)}
        if protocol.name == OURS.name:
            after, before = (scores_of(c, data) for c in (cell, plain))
            if (found := compare_scores(after, before, forged)) is not None:
                yield {"protocol": protocol.name, "number": IMAGE_AUC, **vars(found)}


def differences(
    cells: Mapping[str, Cell],
    data: Surveyed,
    protocols: Sequence[Protocol],
    references: Sequence[str],
) -> Iterator[dict[str, JSON]]:
    """Methods on one set against each other, better first, and against the best reference.

    Yields, for each protocol's main number and the image AUC of ``ours``, {"method", "other",
    "protocol", "number"} and what a `Comparison` holds, the first less the second; p values are
    corrected (Holm, 1979) over the pairs of one number.
    """
    forged = forged_of(data)
    for protocol in protocols:
        for number in per_picture(protocol)[:1]:
            values = {n: values_of(c, data, protocol, number) for n, c in cells.items()}
            sign = 1 if number.higher_is_better else -1
            quality = {n: sign * _mean(v) for n, v in values.items()}
            pairs = list(_pairs(quality, references))
            made = [compare_values(values[a], values[b]) for a, b in pairs]
            yield from _described(pairs, made, protocol.name, number.name)
        if protocol.name == OURS.name:
            scores = {n: scores_of(c, data) for n, c in cells.items()}
            pairs = list(_pairs({n: _auc(s, forged) for n, s in scores.items()}, references))
            made = [compare_scores(scores[a], scores[b], forged) for a, b in pairs]
            yield from _described(pairs, made, protocol.name, IMAGE_AUC)


def _mean(values: Values) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def _auc(scores: Values, forged: NDArray[np.bool_]) -> float:
    found = compare_scores(scores, np.where(np.isnan(scores), np.nan, 0.0), forged)
    return 0.0 if found is None else found.difference


def _pairs(quality: Mapping[str, float], references: Sequence[str]) -> Iterator[tuple[str, str]]:
    methods = sorted((n for n in quality if n not in references), key=lambda n: -quality[n])
    yield from combinations(methods, 2)
    for name in methods if references else ():
        yield name, max(references, key=lambda n: quality[n])


def _described(
    pairs: Sequence[tuple[str, str]],
    made: Sequence[Comparison | None],
    protocol: str,
    number: str,
) -> Iterator[dict[str, JSON]]:
    known = [(pair, found) for pair, found in zip(pairs, made, strict=True) if found is not None]
    corrected = holm([found.p_value for _, found in known])
    for ((first, second), found), p in zip(known, corrected, strict=True):
        named: dict[str, JSON] = {"method": first, "other": second, "protocol": protocol}
        yield {**named, "number": number, **vars(found), "p_value": float(p)}
