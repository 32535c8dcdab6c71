"""The masks of a set in a few numbers: which values they hold, and how much they mark."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tamperscope.data.inspection import FAULTS, Progress, in_threads
from tamperscope.data.masks import MEANINGS, MaskCoding
from tamperscope.data.sample import Dataset, Sample
from tamperscope.image import read_image

RARE = 0.001
"""Grey levels of a smaller share of the pixels are counted together."""


@dataclass(frozen=True, kw_only=True)
class MaskSummary:
    """The masks of a set.

    polarity: how they mark what is forged; "mixed" where they differ. meaning: the same in words.
    masks: forged pictures whose masks were read. unreadable: id and reason of the others.
    values: grey level -> share of the pixels of the mean mask, the rare ones together as "other".
    forged: median, mean, lowest and highest share of a forged picture that is marked, 0 to 1; None
        without masks.
    """

    polarity: MaskCoding | Literal["mixed"]
    meaning: str
    masks: int
    unreadable: tuple[str, ...]
    values: dict[str, float]
    forged: dict[str, float] | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def summarize_masks(
    dataset: Dataset, *, workers: int | None = None, progress: Progress | None = None
) -> MaskSummary:
    """Read every mask of a set; one that cannot be read is counted, not raised.

    workers: threads; by default as many as the machine has processors, at most 8.
    """
    masked = [sample for sample in dataset.samples if sample.mask_path is not None]
    found = in_threads(_measure, masked, workers=workers, progress=progress)
    read = [one for one in found if not isinstance(one, str)]
    polarity = dataset.polarity
    return MaskSummary(
        polarity=polarity,
        meaning="not the same for all masks" if polarity == "mixed" else MEANINGS[polarity],
        masks=len(read),
        unreadable=tuple(
            f"{sample.id}: {one}"
            for sample, one in zip(masked, found, strict=True)
            if isinstance(one, str)
        ),
        values=_values([levels for _, levels in read]),
        forged=_shares([share for share, _ in read]),
    )


def _measure(sample: Sample) -> tuple[float, NDArray[np.float64]] | str:
    """Share of the picture that is marked and shares of the grey levels (256,), or a fault."""
    try:
        truth = sample.truth()
        assert truth is not None
        assert sample.mask_path is not None
        levels = sum(map(_levels, (sample.mask_path, *sample.further_masks)))
    except FAULTS as error:
        return str(error) or type(error).__name__
    counts = np.asarray(levels, np.float64)
    return float(truth.mean(dtype=np.float64)), counts / counts.sum()


def _levels(path: Path) -> NDArray[np.int64]:
    return np.bincount(read_image(path).pixels.max(axis=2).ravel(), minlength=256)


def _shares(shares: Sequence[float]) -> dict[str, float] | None:
    if not shares:
        return None
    return {
        "median": median(shares),
        "mean": fmean(shares),
        "lowest": min(shares),
        "highest": max(shares),
    }


def _values(levels: Sequence[NDArray[np.float64]]) -> dict[str, float]:
    if not levels:
        return {}
    mean = np.mean(levels, axis=0)
    kept = {str(level): float(mean[level]) for level in np.flatnonzero(mean >= RARE)}
    rest = float(mean[mean < RARE].sum())
    return kept | ({"other": rest} if rest > 0 else {})
