"""The point sets: features of the shipped network on a picture, and synthetic ones."""

from collections.abc import Callable
from math import isqrt
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tamperscope.backbones import preprocess
from tamperscope.errors import ConfigError, DataError
from tamperscope.image import Image, read_image
from tamperscope.methods.focal.network import network_for

WEIGHTS = "focal-compact"
STRIDE = 4
_STAGES = ("stage2", "stage3", "attention")
_MODES = (0.4, 0.2, 0.12, 0.08, 0.06, 0.04)
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")

RULES = {
    "real": (
        f"features of {WEIGHTS} on the picture squeezed into a square, one for 4 x 4 pixels; 64 "
        "dimensions: as they come; fewer: their first principal axes; more: the principal axes of "
        "three stages of the backbone side by side, brought to the grid bilinearly; unit length"
    ),
    "synthetic": (
        "unit vectors: six modes of 40, 20, 12, 8, 6 and 4 % of the points, their spread falling "
        "off from axis to axis, and 10 % anywhere on the sphere"
    ),
    "uniform": "unit vectors anywhere on the sphere",
}


def largest_picture(folder: Path) -> Image:
    """The picture with most pixels among the files of a folder; of equal ones the first by name.

    Raises DataError for a folder without any.
    """
    found = sorted(p for p in folder.glob("*") if p.suffix.lower() in _SUFFIXES)
    if not found:
        raise DataError(f"no pictures in {folder}: name a folder of JPEG or PNG files")
    return max((read_image(path, id=path.name) for path in found), key=lambda i: i.height * i.width)


class PointSets:
    """Point sets by kind and shape, float32 and C-contiguous; made once, kept as files.

    Args:
        folder: where the files go.
        picture: what `real` features are of.
    """

    def __init__(self, folder: Path, picture: Image) -> None:
        self._folder = folder
        self._picture = picture
        self._makers: dict[str, Callable[[int, int], NDArray[np.float32]]] = {
            "real": self._real,
            "synthetic": synthetic,
            "uniform": uniform,
        }

    def file(self, kind: str, points: int, dims: int) -> Path:
        """The .npy file of one set.

        Raises ConfigError for `real` sets that are no square, or have too many dimensions.
        """
        path = self._folder / f"{kind}-{points}-{dims}.npy"
        if not path.exists():
            np.save(path, np.ascontiguousarray(self._makers[kind](points, dims), np.float32))
        return path

    def _real(self, points: int, dims: int) -> NDArray[np.float32]:
        side = isqrt(points)
        if side * side != points or side % 4:
            raise ConfigError(
                f"{points} points are no picture: real features come as squares of a multiple of "
                "4, such as 4096 or 16384"
            )
        features, stages = _run(self._picture.pixels, side)
        if dims == features.shape[1]:
            chosen = features
        else:
            chosen = _principal(features if dims < features.shape[1] else stages, dims)
        return F.normalize(chosen, dim=1).numpy()


def _run(pixels: NDArray[np.uint8], side: int) -> tuple[Tensor, Tensor]:
    """Unit features (side ** 2, 64), and the stages behind them (side ** 2, 320), each of unit
    length."""
    network, _ = network_for(WEIGHTS)
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
            kept[name] = made

        return hook

    backbone = network.eval().backbone
    hooks = [getattr(backbone, s).register_forward_hook(keep(s)) for s in _STAGES]
    with torch.inference_mode():
        out = network(preprocess(pixels, "focal", size=side * STRIDE)[None])["features"]
        maps = [
            F.interpolate(kept[s], size=(side, side), mode="bilinear", align_corners=False)
            for s in _STAGES
        ]
        rows = [F.normalize(m, dim=1)[0].flatten(1).T for m in (out, *maps)]
    for hook in hooks:
        hook.remove()
    return rows[0].clone(), torch.cat(rows[1:], 1)


def _principal(rows: Tensor, dims: int) -> Tensor:
    """The first principal axes; the mean stays in."""
    if dims > rows.shape[1]:
        raise ConfigError(f"real features have at most {rows.shape[1]} dimensions, not {dims}")
    _, axes = torch.linalg.eigh(torch.cov(rows.double().T))
    return (rows.double() @ axes.flip(1)[:, :dims]).float()


def synthetic(points: int, dims: int) -> NDArray[np.float32]:
    """See `RULES`; the same for the same shape."""
    rng = np.random.default_rng([points, dims])
    spread = 0.5 / np.sqrt(1 + np.arange(dims))
    spread *= 0.6 / np.linalg.norm(spread)
    groups = []
    for share in _MODES:
        centre = _unit(rng.normal(size=(1, dims)))
        axes, _ = np.linalg.qr(rng.normal(size=(dims, dims)))
        groups.append(centre + (rng.normal(size=(int(share * points), dims)) * spread) @ axes)
    groups.append(_unit(rng.normal(size=(points - sum(map(len, groups)), dims))))
    return rng.permutation(_unit(np.concatenate(groups))).astype(np.float32)


def uniform(points: int, dims: int) -> NDArray[np.float32]:
    """Anywhere on the sphere; the same for the same shape."""
    rng = np.random.default_rng([points, dims, 1])
    return _unit(rng.normal(size=(points, dims))).astype(np.float32)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / lengths
