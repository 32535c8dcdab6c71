"""Pictures of a folder, and forgeries made from them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from tamperscope import Image, read_image
from tamperscope.errors import DataError, ImageError
from tamperscope.image import SUFFIXES


def load_pictures(folder: Path, count: int, *, side: int) -> list[Image]:
    """``count`` pictures evenly spread over a folder, scaled down to ``side``, and after every two
    of them a splice of the two.

    Raises:
        DataError: fewer than ten readable pictures.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, count).astype(int))]
    found: list[Image] = []
    for path in chosen:
        try:
            found.append(_shrunk(read_image(path), side))
        except ImageError:
            continue
    if len(found) < 10:
        raise DataError(f"{folder} has {len(found)} readable pictures: give ten or more")
    rng = np.random.default_rng(0)
    mixed = []
    for number, picture in enumerate(found):
        mixed.append(picture)
        if number % 2:
            mixed.append(_splice(picture, found[number - 1], rng))
    return mixed


def _shrunk(picture: Image, side: int) -> Image:
    shown = PILImage.fromarray(picture.pixels)
    if max(shown.size) <= side:
        return picture
    shown.thumbnail((side, side), PILImage.Resampling.LANCZOS)
    return read_image(shown, id=picture.id)


def _splice(host: Image, donor: Image, rng: np.random.Generator) -> Image:
    """An ellipse of a recompressed donor in the host, saved as JPEG."""
    buffer = io.BytesIO()
    PILImage.fromarray(donor.pixels).save(buffer, "JPEG", quality=int(rng.integers(50, 80)))
    pasted = np.asarray(PILImage.open(buffer).resize(host.pixels.shape[1::-1]))
    h, w = host.size
    y, x = np.mgrid[:h, :w]
    cy, cx = rng.uniform(0.3, 0.7) * h, rng.uniform(0.3, 0.7) * w
    ry, rx = rng.uniform(0.1, 0.25) * h, rng.uniform(0.1, 0.25) * w
    inside = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
    forged = np.where(inside[..., None], pasted, host.pixels).astype(np.uint8)
    buffer = io.BytesIO()
    PILImage.fromarray(forged).save(buffer, "JPEG", quality=92)
    return read_image(buffer.getvalue(), id=f"splice of {Path(host.id).name}")
