"""A fake face beside the real one it was made from, before any pixel is read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tamperscope.data.fakeness import FakenessKind, fakeness_map
from tamperscope.errors import DataError
from tamperscope.image import read_image, read_mask

PairVariant = Literal["real", "whole", "region"]


@dataclass(frozen=True, kw_only=True)
class FacePair:
    """A picture of a face: fake with its real one, fake alone, or real alone.

    id: unique among what was loaded together, such as ``nearest/region/00042``.
    face: the face, video or stem it goes back to; the same for everything made from it.
    real: the picture before the change; None for a wholly generated picture without one.
    fake: the picture after it; None for a real picture.
    generator: what made the fake; None for a real picture.
    variant: "real", "whole" (every pixel went through a generator) or "region".
    parts: parts of the face that were changed, as named in CelebAMask-HQ; empty where not known
        and for whole pictures.
    mask_path: a mask of the changed region, white where forged, that came with the pictures.
    map_path: a grey-scale map of the change, white where it is greatest, that came with them.

    Raises DataError when these contradict each other.
    """

    id: str
    face: str
    real: Path | None
    fake: Path | None = None
    generator: str | None = None
    variant: PairVariant = "real"
    parts: tuple[str, ...] = ()
    mask_path: Path | None = None
    map_path: Path | None = None

    def __post_init__(self) -> None:
        if self.real is None and self.fake is None:
            raise DataError(f"pair {self.id!r} has no picture: give the real one or the fake")
        named = self.generator is not None and self.variant != "real"
        if named != (self.fake is not None):
            raise DataError(
                f"pair {self.id!r}: a fake needs a generator and the variant whole or region, a "
                "real picture has neither"
            )

    @property
    def image(self) -> Path:
        """The picture to look at: the fake, or the real one where there is no fake."""
        path = self.fake if self.fake is not None else self.real
        assert path is not None
        return path

    @property
    def is_fake(self) -> bool:
        """Whether `image` is a fake."""
        return self.fake is not None


def read_pair(
    pair: FacePair, *, kind: FakenessKind = "gray-of-difference"
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The picture to look at, (h, w, 3) uint8 RGB, and its fakeness map, (h, w) float32 in [0, 1].

    The map is zero for a real picture and the difference for a fake with its real picture (see
    `fakeness_map`). For a fake without one it is the map that came with it, else 1 inside and 0
    outside its mask, else, where every pixel is generated, 1.

    Raises:
        ImageError: a file cannot be read.
        DataError: two files of a pair are of different sizes, or nothing says where a fake is.
    """
    if pair.fake is None:
        assert pair.real is not None
        pixels = read_image(pair.real).pixels
        return pixels, fakeness_map(pixels, None)
    pixels = read_image(pair.fake).pixels
    if pair.real is not None:
        real = read_image(pair.real).pixels
        _same_size(pair.fake, pixels, pair.real, real)
        return pixels, fakeness_map(real, pixels, kind=kind)
    if pair.map_path is not None:
        given = read_image(pair.map_path).pixels
        _same_size(pair.fake, pixels, pair.map_path, given)
        return pixels, fakeness_map(np.zeros_like(given), given)
    if pair.mask_path is not None:
        mask = read_mask(pair.mask_path)
        _same_size(pair.fake, pixels, pair.mask_path, mask)
        return pixels, mask.astype(np.float32)
    if pair.variant != "whole":
        raise DataError(
            f"{pair.fake}: its fakeness is not known without the real picture, a mask or a map: "
            "add one of them, or use the picture for detection only"
        )
    return pixels, fakeness_map(None, pixels)


def _same_size(fake: Path, pixels: NDArray[Any], other: Path, there: NDArray[Any]) -> None:
    (h, w), (height, width) = pixels.shape[:2], there.shape[:2]
    if (h, w) == (height, width):
        return
    if h == height and w % width == 0:
        hint = f"a strip of {w // width} pictures? cut it into one file for each"
    else:
        hint = "bring both to one crop and size"
    raise DataError(
        f"{fake}: {h} x {w} pixels (height x width), {other}: {height} x {width}: {hint}"
    )
