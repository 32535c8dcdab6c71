"""Random choices of the tasks that read pictures from disk. All follow from their arguments."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from tamperscope import perturb

REAL = "real"
"""The kind of pictures nobody changed."""

Pixels = NDArray[np.uint8]
Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")


class Remembered(Generic[Key, Found]):
    """A function whose last ``most`` answers are kept, all of them where that is None. Unlike what
    `lru_cache` makes it can be sent to another process, where it starts empty.
    """

    def __init__(self, function: Callable[[Key], Found], *, most: int | None) -> None:
        self._function, self._most = function, most
        self._cached = lru_cache(maxsize=most)(function)

    def __call__(self, key: Key) -> Found:
        return self._cached(key)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Remembered, most=self._most), (self._function,)


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


def turn(index: int, period: int, reals: int, fakes: Sequence[str]) -> tuple[str, int]:
    """Which kind sample ``index`` is of, and which one of that kind, counting from 0.

    ``reals`` of every ``period`` samples are real, spread evenly; the fakes take turns.
    """
    before = index * reals // period
    if (index + 1) * reals // period > before:
        return REAL, before
    number = index - before
    return fakes[number % len(fakes)], number // len(fakes)


class Turns(ABC, Generic[Item]):
    """Pictures by kind, of which every index names one.

    Args:
        groups: pictures by kind; `REAL` is among them, the others are fakes.
        seed: of the order.
    """

    def __init__(self, groups: Mapping[str, Sequence[Item]], *, seed: int) -> None:
        self.groups, self.seed = groups, seed
        self.fakes = [name for name in groups if name != REAL]

    def draw(self, index: int) -> tuple[str, Item]:
        """Kind and picture of sample ``index``: each of a kind once before any comes twice."""
        kind, number = turn(index, *self._shares(), self.fakes)
        pictures = self.groups[kind]
        stream = 1 + [*self.fakes, REAL].index(kind)
        return kind, pictures[pick(self.seed, stream, number, len(pictures))]

    @abstractmethod
    def _shares(self) -> tuple[int, int]:
        """A number of samples, and how many of them are real."""


class HeldBack(Turns[Item]):
    """Fake and real pictures in turn, each at most once. First among the bases of a class."""

    def __len__(self) -> int:
        fakes = min(len(self.groups[name]) for name in self.fakes) * len(self.fakes)
        return 2 * min(len(self.groups[REAL]), fakes)

    def draw(self, index: int) -> tuple[str, Item]:
        """Kind and picture of sample ``index``; IndexError beyond the last."""
        if index >= len(self):
            raise IndexError(index)
        return super().draw(index)

    def _shares(self) -> tuple[int, int]:
        return 2, 1
