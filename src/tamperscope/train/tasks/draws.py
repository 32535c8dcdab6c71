"""Random choices of the tasks that read pictures from disk. All follow from their arguments."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tamperscope import perturb

Pixels = NDArray[np.uint8]


@lru_cache(maxsize=256)
def order(seed: int, stream: int, round_: int, count: int) -> Sequence[int]:
    """A shuffled ``range(count)``."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, stream, round_]))
    shuffled: list[int] = rng.permutation(count).tolist()
    return shuffled


def pick(seed: int, stream: int, number: int, count: int) -> int:
    """Which of ``count`` pictures comes as number ``number``: each once before any comes twice."""
    turn, place = divmod(number, count)
    return order(seed, stream, turn, count)[place]


def sample_rng(seed: int, index: int) -> np.random.Generator:
    """The draws of one sample."""
    return np.random.default_rng(np.random.SeedSequence([seed, 0, index]))


def recompress(
    pixels: Pixels, share: float, quality: tuple[int, int], rng: np.random.Generator
) -> Pixels:
    """A share of pictures as JPEG of a quality from..to, 70 % of those with halved chroma."""
    if rng.random() >= share:
        return pixels
    low, high = quality
    subsampling: Literal[0, 2] = 2 if rng.random() < 0.7 else 0
    chosen = int(rng.integers(low, high + 1))
    return perturb.jpeg(np.ascontiguousarray(pixels), chosen, subsampling=subsampling)


def turn(index: int, period: int, reals: int, real: str, fakes: Sequence[str]) -> tuple[str, int]:
    """Which kind sample ``index`` is of, and which one of that kind, counting from 0.

    ``reals`` of every ``period`` samples are ``real``, spread evenly; the fakes take turns.
    """
    before = index * reals // period
    if (index + 1) * reals // period > before:
        return real, before
    number = index - before
    return fakes[number % len(fakes)], number // len(fakes)
