"""Seconds per picture, measured so that a busy moment of the machine hits every candidate."""

import io
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image as PILImage

from tamperscope.errors import ConfigError
from tamperscope.provenance import JSON

DEFAULT_MEGAPIXELS = (0.25, 1.0, 12.0)
DEFAULT_REPEATS = 5
_QUALITY = 92

Candidate = Callable[[bytes], object]


def synthetic_jpeg(megapixels: float, *, seed: int = 0) -> bytes:
    """A 4:3 JPEG (quality 92) of that many million pixels, with texture at every scale.

    Raises ConfigError for a size of zero or less.
    """
    if megapixels <= 0:
        raise ConfigError(f"a picture of {megapixels} Mpx has no pixels: give more than 0")
    width = max(1, round((megapixels * 1e6 * 4 / 3) ** 0.5))
    height = max(1, round(megapixels * 1e6 / width))
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cells in (4, 32, 256):
        coarse = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        layer = PILImage.fromarray(coarse).resize((width, height), PILImage.Resampling.BICUBIC)
        total += np.asarray(layer, np.float32) / 3
    total += 4 * rng.standard_normal(total.shape, dtype=np.float32)
    buffer = io.BytesIO()
    picture = PILImage.fromarray(np.clip(total, 0, 255).astype(np.uint8))
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def measure_speed(
    candidates: Mapping[str, Candidate],
    *,
    megapixels: Sequence[float] = DEFAULT_MEGAPIXELS,
    repeats: int = DEFAULT_REPEATS,
) -> dict[str, dict[str, JSON]]:
    """Wall seconds of each candidate on one picture (as bytes) of each size.

    One unmeasured call per candidate and size, then `repeats` rounds in which all candidates take
    turns. Returns name -> {size in Mpx: {"median", "least", "most", "repeats"}}.

    Raises ConfigError without candidates, sizes or repeats.
    """
    if not candidates or not megapixels or repeats < 1:
        raise ConfigError("nothing to time: give at least one candidate, one size and one repeat")
    found: dict[str, dict[str, JSON]] = {name: {} for name in candidates}
    for size in megapixels:
        picture = synthetic_jpeg(size)
        for candidate in candidates.values():
            candidate(picture)
        seconds: dict[str, list[float]] = {name: [] for name in candidates}
        for _ in range(repeats):
            for name, candidate in candidates.items():
                seconds[name].append(_time(candidate, picture))
        for name, values in seconds.items():
            found[name][f"{size:g}"] = {
                "median": float(np.median(values)),
                "least": min(values),
                "most": max(values),
                "repeats": repeats,
            }
    return found


def _time(candidate: Candidate, picture: bytes) -> float:
    start = time.perf_counter()
    candidate(picture)
    return time.perf_counter() - start
