"""Localizers that take turns on a picture, and what changes from one result to another."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tamperscope import Localization
from tamperscope.image import ImageSource
from tamperscope.localizer import Localizer


def take_turns(
    engines: Mapping[str, Localizer],
    picture: ImageSource,
    repeats: int,
    *,
    settle: Callable[[], None] = lambda: None,
) -> tuple[dict[str, Localization], dict[str, list[float]]]:
    """Result and wall seconds of each in every round; one more round goes before, not counted.

    ``settle`` is called inside the clock, to wait for a device that works on its own.
    """
    results: dict[str, Localization] = {}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(repeats + 1):
        for name, localizer in engines.items():
            started = time.perf_counter()
            results[name] = localizer.localize(picture)
            settle()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return results, seconds


def compare(exact: Localization, other: Localization) -> dict[str, Any]:
    """What changes from one result to the other; ``iou`` is None where both masks are empty."""
    union = int((exact.mask | other.mask).sum())
    shared = int((exact.mask & other.mask).sum())
    return {
        "iou": shared / union if union else None,
        "map": float(np.abs(exact.score_map - other.score_map).max()),
        "pixels": int((exact.mask != other.mask).sum()),
        "image_score": abs(exact.image_score - other.image_score),
    }
