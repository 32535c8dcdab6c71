"""Pictures of one folder at any number of pixels, with their ground truth where there is one."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.errors import DataError
from tamperscope.image import SUFFIXES, read_image, read_mask

MULTIPLE = 32
"""Sides are multiples of it, so that no network has to pad."""
_QUALITY = 92


@dataclass(frozen=True)
class Picture:
    """data: a JPEG file; truth: bool (h, w), True = forged, or None."""

    name: str
    data: bytes
    truth: NDArray[np.bool_] | None


def scaled_pictures(folder: Path, megapixels: float, *, count: int, side: int = 0) -> list[Picture]:
    """The first pictures of a folder at that many pixels, those with a mask in ``masks/`` before
    the others.

    Args:
        count: at most so many.
        side: where it is given, squares of this side in place of ``megapixels``.

    Raises:
        DataError: no pictures there.
        ImageError: one that cannot be read.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"no pictures in {folder}: name a folder of JPEG or PNG files")
    files.sort(key=lambda path: not _mask_of(path).is_file())
    return [_scaled(path, megapixels, side) for path in files[:count]]


def _mask_of(path: Path) -> Path:
    return path.parent / "masks" / f"{path.stem}.png"


def _scaled(path: Path, megapixels: float, side: int) -> Picture:
    pixels = PILImage.fromarray(read_image(path).pixels)
    factor = (megapixels * 1e6 / (pixels.width * pixels.height)) ** 0.5
    width, height = (max(1, round(n * factor / MULTIPLE)) * MULTIPLE for n in pixels.size)
    size = (side, side) if side else (width, height)
    buffer = io.BytesIO()
    pixels.resize(size, PILImage.Resampling.LANCZOS).save(buffer, "JPEG", quality=_QUALITY)
    truth = None
    if _mask_of(path).is_file():
        mask = PILImage.fromarray(read_mask(_mask_of(path)))
        truth = np.asarray(mask.resize(size, PILImage.Resampling.NEAREST), np.bool_)
    return Picture(path.stem, buffer.getvalue(), truth)
