"""Seconds of `localize`, all candidates taking turns on every picture."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engines_parts.turns import compare, take_turns

from speed_parts.candidates import Candidate
from speed_parts.pictures import Picture
from tamperscope.localizer import Localizer


def measure_latency(
    localizers: Mapping[Candidate, Localizer],
    pictures: Sequence[Picture],
    repeats: int,
    *,
    settle: Callable[[], None],
) -> dict[Candidate, dict[str, Any]]:
    """Seconds per picture (mean over the pictures in each round; median, least and most over the
    rounds), and how far the masks hold against the method's first engine."""
    names = {f"{one.entrant}/{one.engine}": one for one in localizers}
    asked = {name: localizers[one] for name, one in names.items()}
    first: dict[str, Candidate] = {}
    for one in localizers:
        first.setdefault(one.entrant, one)
    rounds: dict[Candidate, list[list[float]]] = {one: [] for one in localizers}
    changes: dict[Candidate, list[dict[str, Any]]] = {one: [] for one in localizers}
    for picture in pictures:
        results, seconds = take_turns(asked, picture.data, repeats, settle=settle)
        found = {names[name]: result for name, result in results.items()}
        for name, one in names.items():
            rounds[one].append(seconds[name])
            changes[one].append(compare(found[first[one.entrant]], found[one]))
    return {one: _numbers(rounds[one], changes[one]) for one in localizers}


def _numbers(
    seconds: Sequence[Sequence[float]], changes: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    means = [statistics.fmean(turn) for turn in zip(*seconds, strict=True)]
    overlaps = [row["iou"] for row in changes if row["iou"] is not None]
    return {
        "median": statistics.median(means),
        "least": min(means),
        "most": max(means),
        "repeats": len(means),
        "pictures": len(changes),
        "pictures_with_a_mask": len(overlaps),
        "least_iou": min(overlaps, default=None),
        "largest_map_difference": max(row["map"] for row in changes),
    }
