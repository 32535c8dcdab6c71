"""What one picture of a set and its mask are like, found by reading both; never raises for them."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tamperscope.data.duplicates import Fingerprint, fingerprint_of
from tamperscope.data.masks import MaskCoding
from tamperscope.data.sample import Sample
from tamperscope.errors import DataError, ImageError, MissingExtraError
from tamperscope.image import read_image

Fact = TypeVar("Fact")

Progress = Callable[[int, int], None]
"""Called with (number done, number of pictures)."""

FAULTS = (ImageError, DataError, MissingExtraError, OSError, MemoryError)
"""What a file that cannot be read may raise."""

UNCLEAR = (64, 191)
"""Grey levels in between are neither black nor white."""


@dataclass(frozen=True, kw_only=True)
class MaskFacts:
    """A mask as stored, and the region it marks.

    size: (h, w) in pixels. forged: share of pixels marked, 0 to 1.
    off_levels: share of pixels that are neither of the coding's colours exactly.
    unclear: share of pixels so far from both that the threshold decides.
    """

    size: tuple[int, int]
    forged: float
    off_levels: float
    unclear: float


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureFacts:
    """One sample read: None where its file could not be."""

    sample: Sample
    size: tuple[int, int] | None = None
    digest: bytes | None = None
    """Of the decoded pixels: equal for pictures that look exactly alike, however stored."""
    fingerprint: Fingerprint | None = None
    mask: MaskFacts | None = None
    picture_fault: str | None = None
    mask_fault: str | None = None


def inspect_all(
    samples: Sequence[Sample],
    *,
    masks: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[PictureFacts]:
    """The facts of every sample, in order.

    masks: False to read the pictures only.
    workers: threads; by default as many as the machine has processors, at most 8.
    """
    return in_threads(partial(inspect, masks=masks), samples, workers=workers, progress=progress)


def in_threads(
    work: Callable[[Sample], Fact],
    samples: Sequence[Sample],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Fact]:
    """What ``work`` says of every sample, in order; ``progress`` is told as they are done."""
    count = workers or min(8, os.cpu_count() or 1)
    found: dict[int, Fact] = {}
    with ThreadPoolExecutor(count) as pool:
        tasks = {pool.submit(work, sample): i for i, sample in enumerate(samples)}
        for done, task in enumerate(as_completed(tasks), 1):
            found[tasks[task]] = task.result()
            if progress is not None:
                progress(done, len(samples))
    return [found[i] for i in range(len(samples))]


def inspect(sample: Sample, *, masks: bool = True) -> PictureFacts:
    """The facts of one sample; a file that cannot be read is a fact too."""
    size = digest = prints = picture_fault = None
    try:
        image = read_image(sample.image_path)
        size = image.size
        shape = repr(size).encode()
        digest = hashlib.blake2b(image.pixels.data, digest_size=16, key=shape).digest()
        prints = fingerprint_of(image.pixels)
    except FAULTS as error:
        picture_fault = str(error) or type(error).__name__
    mask, mask_fault = _mask_facts(sample) if masks else (None, None)
    return PictureFacts(
        sample=sample,
        size=size,
        digest=digest,
        fingerprint=prints,
        mask=mask,
        picture_fault=picture_fault,
        mask_fault=mask_fault,
    )


def _mask_facts(sample: Sample) -> tuple[MaskFacts | None, str | None]:
    if sample.mask_path is None:
        return None, None
    try:
        truth = sample.truth()
        assert truth is not None
        parts = [_levels(p, sample.polarity) for p in (sample.mask_path, *sample.further_masks)]
    except FAULTS as error:
        return None, str(error) or type(error).__name__
    return (
        MaskFacts(
            size=(truth.shape[0], truth.shape[1]),
            forged=float(truth.mean(dtype=np.float64)),
            off_levels=max(off for off, _ in parts),
            unclear=max(unclear for _, unclear in parts),
        ),
        None,
    )


def _levels(path: Path, coding: MaskCoding) -> tuple[float, float]:
    """Shares of pixels off the two colours of a coding, and in doubt between them."""
    rgb = read_image(path).pixels
    if coding == "forged-green":
        gap = np.abs(rgb[..., 1].astype(np.int16) - rgb[..., 0])
        return _share(gap < 192), _share(gap < UNCLEAR[0])
    grey = rgb.max(axis=2)
    if coding == "forged-nonzero":
        # Any level is meant; the faint ones are what lossy compression leaves.
        return _share((grey > 0) & (grey < 8)), _share((grey > 0) & (grey < 8))
    low, high = UNCLEAR
    return _share((grey > 0) & (grey < 255)), _share((grey >= low) & (grey <= high))


def _share(where: NDArray[np.bool_]) -> float:
    return float(where.mean(dtype=np.float64))
