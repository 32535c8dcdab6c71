"""Fusion of several trained networks without retraining (FOCAL, arXiv 2308.09307)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from tamperscope.errors import ConfigError


def fuse_features(
    maps: Sequence[Tensor],
    *,
    grid: Literal["first"] | tuple[int, int] = "first",
    mode: Literal["nearest", "bilinear"] = "nearest",
) -> Tensor:
    """Resample feature maps to one grid, L2-normalise each over its channels, and concatenate.

    Each network weighs the same, however many channels it has: the result is not normalised again,
    so every vector has length sqrt(number of maps). FOCAL fuses the ViT first and the HRNet second,
    which puts both on the 64x64 grid of the ViT.

    Args:
        maps: (B, C_i, h_i, w_i) each, of the same pictures.
        grid: ``"first"``, the grid of the first map, or (rows, columns).
        mode: How the other maps get there; ``"nearest"`` is the released code's way.

    Returns:
        float32 (B, sum of C_i, rows, columns); a zero vector stays zero.

    Raises:
        ConfigError: no maps, maps of different batches or not 4-dimensional, an empty grid, or an
            unknown mode.
    """
    if not maps or any(one.ndim != 4 for one in maps) or len({one.shape[0] for one in maps}) != 1:
        raise ConfigError(
            "fuse_features needs one or more maps (B, C, h, w) of the same batch, "
            f"not {[tuple(one.shape) for one in maps]}"
        )
    if mode not in ("nearest", "bilinear"):
        raise ConfigError(f"unknown fusion mode {mode!r}; known: nearest, bilinear")
    size = (maps[0].shape[2], maps[0].shape[3]) if grid == "first" else grid
    if isinstance(size, str) or min(size) < 1:
        raise ConfigError(f"grid must be 'first' or (rows, columns) of at least 1, not {grid!r}")
    resampled = (functional.interpolate(one.float(), size, mode=mode) for one in maps)
    return torch.cat([functional.normalize(one, dim=1) for one in resampled], dim=1)
