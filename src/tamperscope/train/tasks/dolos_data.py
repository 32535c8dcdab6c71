"""Faces for DOLOS: which pictures an index stands for, and how they are prepared.

Sample ``i`` of a seed is the same picture on every machine and in every worker, and every picture
of a kind comes up once before any comes up twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tamperscope import perturb
from tamperscope.errors import ConfigError, DataError, unknown
from tamperscope.image import read_image, read_mask
from tamperscope.methods.dolos.preprocess import MaskResample, Resample, prepare, training_mask
from tamperscope.perturb.ops import Interpolation
from tamperscope.train.task_config import DolosConfig
from tamperscope.train.tasks import draws
from tamperscope.train.tasks.draws import REAL

Split = Literal["train", "valid"]

_HALVING_BLOCKS = 3
_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Picture:
    """One file. ``mask`` is None for a real picture and for one that is fake everywhere."""

    image: Path
    mask: Path | None


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What the network takes and gives.

    Attributes:
        size: side of its pictures.
        blocks: Xception blocks in front of its map.
        resample, mask_resample: filters that bring pictures and masks there.
    """

    size: int
    blocks: int
    resample: Resample
    mask_resample: MaskResample

    def grid(self, size: int) -> int:
        """Side of the map of a picture of side ``size``: 299 gives 74, 37 and from block 3 on 19.

        Raises:
            ConfigError: smaller than the first two convolutions need.
        """
        side = (size - 3) // 2 - 1
        for _ in range(min(self.blocks, _HALVING_BLOCKS)):
            side = (side + 1) // 2
        if side < 1:
            raise ConfigError(f"pictures of {size} pixels are too small; raise dolos.size or crop")
        return side


Groups = dict[str, list[Picture]]
"""Pictures by kind: ``real``, or the name of a generator."""


# --------------------------------------------------------------------------- finding


def find_pictures(root: Path, config: DolosConfig, split: Split) -> Groups:
    """The pictures of a set-up's split, ordered by name.

    Raises:
        UnknownNameError: a generator that the set does not have.
        DataError: no set, or nothing left of it.
    """
    from tamperscope.data.datasets import dolos

    whole = config.setup == "A"
    groups: Groups = {}
    for name in _generators(root, config, whole):
        load = dolos.load_whole if whole else dolos.load
        found = load(root, faces=config.faces, generator=name, split=split)
        groups[name] = [Picture(s.image_path, s.mask_path) for s in found]
    for folder in config.extra_whole if whole else ():
        groups[f"extra:{Path(folder).parent.name or folder}"] = _folder(root / folder, split)
    reals = dolos.load_real(root, faces=config.faces, split=split)
    groups[REAL] = [Picture(s.image_path, None) for s in reals]
    for folder in config.extra_real:
        groups[REAL] += _folder(root / folder, split)
    if config.limit:
        groups = {name: pictures[: config.limit] for name, pictures in groups.items()}
    if empty := [name for name, pictures in groups.items() if not pictures]:
        raise DataError(
            f"{root} has no {split} pictures of {', '.join(empty)}: build more faces with"
            " 'tamperscope data build dolos', or leave that kind out"
        )
    return groups


def _generators(root: Path, config: DolosConfig, whole: bool) -> list[str]:
    base = root / config.faces / "fake"
    folders = sorted(f for f in base.glob("*") if f.is_dir())
    known = [f.name.removesuffix("-whole") for f in folders if (f / "images").is_dir() != whole]
    wanted = known if "all" in config.generators else list(config.generators)
    if not known and not (whole and config.extra_whole):
        kind = "wholly" if whole else "partly"
        raise DataError(
            f"{base} holds no {kind} generated pictures: make them with"
            " 'tamperscope data build dolos'"
        )
    for name in (*wanted, *config.leave_out):
        if name not in known:
            raise unknown("generator of this face set", name, known)
    left = [name for name in wanted if name not in config.leave_out]
    if not left and not (whole and config.extra_whole):
        raise DataError("dolos.leave_out leaves no generator: name fewer there")
    return left


def _folder(folder: Path, split: Split) -> list[Picture]:
    from tamperscope.data.faces.splits import split_of

    files = sorted(f for f in folder.glob("*") if f.suffix.lower() in _SUFFIXES)
    if not files:
        raise DataError(f"{folder} holds no pictures ({', '.join(_SUFFIXES)}): check the path")
    return [Picture(f, None) for f in files if split_of(f.stem) == split]


# --------------------------------------------------------------------------- drawing


class DolosSource(draws.Turns[Picture]):
    """Training pictures of a set-up, prepared for a network, without end.

    A sample is ``{"image": uint8 (3, size, size), "mask": uint8 (grid, grid) 1 = fake, "kind":
    "real" or a generator's name}``.

    Args:
        groups: of `find_pictures`.
        config: which kinds come how often, and how pictures are changed.
        geometry: of the network.
        seed: of the order and of every change.
    """

    def __init__(
        self, groups: Groups, config: DolosConfig, geometry: Geometry, *, seed: int
    ) -> None:
        super().__init__(groups, seed=seed)
        self.config, self.geometry = config, geometry
        self._read = draws.Remembered(_read, most=None if config.cache else 1)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        kind, picture = self.draw(index)
        pixels, mask = self._read(picture)
        if mask is None:
            mask = np.full(pixels.shape[:2], kind != REAL)
        # The draws know the index alone: a real and a fake picture are changed alike.
        rng = draws.sample_rng(self.seed, index)
        pixels, mask, size = self._change(pixels, mask, rng)
        pixels = draws.recompress(pixels, self.config.jpeg, self.config.jpeg_quality, rng)
        image = prepare(
            np.ascontiguousarray(pixels),
            resample=self.geometry.resample,
            size=size,
        )
        cells = training_mask(
            np.ascontiguousarray(mask),
            grid=self.geometry.grid(size),
            resample=self.geometry.mask_resample,
        )
        # Back to the 8-bit values it came from: a quarter of the memory, and exact.
        image = ((image + 1.0) * 127.5).round().to(torch.uint8)
        return {"image": image, "mask": cells.to(torch.uint8), "kind": kind}

    def _shares(self) -> tuple[int, int]:
        config = self.config
        if config.setup == "C":
            return 1000, round(1000 * config.reals)
        if config.balanced_labels:
            return 2, 1
        return sum(map(len, self.groups.values())), len(self.groups[REAL])

    def _change(
        self, pixels: NDArray[np.uint8], mask: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_], int]:
        """The changed picture, its mask, and the side it is to be resized to."""
        config, size = self.config, self.geometry.size
        if config.crop < 1:
            pixels, mask = _crop(pixels, mask, config.crop, rng)
            size = max(1, round(size * config.crop))
        if config.flip and rng.random() < 0.5:
            pixels, mask = pixels[:, ::-1], mask[:, ::-1]
        return _soften(np.ascontiguousarray(pixels), config, rng), mask, size


class HeldBackSource(draws.HeldBack[Picture], DolosSource):
    """Validation pictures: fake and real ones in turn, each at most once, only recompressed."""

    def _change(
        self, pixels: NDArray[np.uint8], mask: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_], int]:
        return pixels, mask, self.geometry.size


def _read(picture: Picture) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    pixels = read_image(picture.image).pixels
    if picture.mask is None:
        return pixels, None
    mask = read_mask(picture.mask, polarity="forged-black")
    if mask.shape != pixels.shape[:2]:
        raise DataError(
            f"{picture.mask} has {mask.shape[0]} x {mask.shape[1]} pixels and its picture"
            f" {pixels.shape[0]} x {pixels.shape[1]}: build the set again"
        )
    return pixels, mask


def _crop(
    pixels: NDArray[np.uint8], mask: NDArray[np.bool_], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    h, w = mask.shape
    ch, cw = max(1, round(h * share)), max(1, round(w * share))
    y, x = int(rng.integers(h - ch + 1)), int(rng.integers(w - cw + 1))
    return pixels[y : y + ch, x : x + cw], mask[y : y + ch, x : x + cw]


def _soften(
    pixels: NDArray[np.uint8], config: DolosConfig, rng: np.random.Generator
) -> NDArray[np.uint8]:
    if rng.random() < config.rescale:
        scale = rng.uniform(*config.rescale_range)
        h, w = (max(8, round(side * scale)) for side in pixels.shape[:2])
        filters: tuple[Interpolation, ...] = ("bilinear", "bicubic", "lanczos", "area")
        pixels = perturb.resize(pixels, (h, w), filters[int(rng.integers(len(filters)))])
    if rng.random() < config.blur:
        pixels = perturb.blur(pixels, rng.uniform(*config.blur_sigma))
    return pixels
