"""From pixels to one feature map and, where the network has it, one evidence map: geometry, tiles,
precision.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tamperscope.backbones import fuse_features, preprocess
from tamperscope.backbones.base import pad_to_multiple
from tamperscope.engines.precision import computing
from tamperscope.methods.focal.config import FocalConfig
from tamperscope.methods.focal.copies import find_copies
from tamperscope.methods.focal.grid import PERIOD, SMALLEST, block_offset
from tamperscope.methods.focal.network import FocalNetwork


@dataclass(frozen=True)
class FeatureMaps:
    """What the networks say of a picture, on the feature grid.

    Attributes:
        features: float32 (rows, columns, C), unit length per network (length sqrt(n) after fusing n
            of them).
        evidence: float32 (rows, columns) logits, positive = forged; None without an evidence head.
            The mean over networks.
        copies: float32 (k, 2, rows, columns) in [0, 1]: for each of k regions that stand in the
            picture twice, the share of every cell that belongs to the one and to the other place,
            times the confidence; None where they were not looked for.
    """

    features: Tensor
    evidence: Tensor | None
    copies: Tensor | None = None


@dataclass(frozen=True)
class Seen:
    """What the networks are shown of a picture.

    Attributes:
        pixels: (rows, columns, 3).
        offset: rows and columns cut off before it, fewer than 8.
        shrunk: whether it is smaller than what was left of the picture.
    """

    pixels: NDArray[np.uint8]
    offset: tuple[int, int] = (0, 0)
    shrunk: bool = False

    def notes(self) -> dict[str, list[int]]:
        """What a result says of it, where it is not the whole picture as it was."""
        found = {"block_offset": list(self.offset)} if any(self.offset) else {}
        return found | ({"shrunk_to": list(self.pixels.shape[:2])} if self.shrunk else {})


def seen(
    pixels: NDArray[np.uint8], config: FocalConfig, *, blocks: tuple[int, int] | None = None
) -> Seen:
    """The picture (h, w, 3) as its networks shall see it: shrunk by area averaging to
    ``config.network_pixels`` where it is larger, else with its JPEG blocks in the corner where
    ``config.align`` asks for it; as it is where the geometry has a size of its own.

    ``blocks`` is where they begin (`tamperscope.Image.block_offset`); None looks for them.
    """
    h, w = pixels.shape[:2]
    limit = config.network_pixels
    if config.geometry == "square":
        return Seen(pixels)
    if limit and h * w > limit:
        factor = math.sqrt(limit / (h * w))
        size = (max(1, int(w * factor)), max(1, int(h * factor)))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        return Seen(np.asarray(small, np.uint8), shrunk=True)
    top = left = 0
    # Of a picture of a few blocks the rest of one is too much to lose.
    if config.align and min(h, w) >= SMALLEST:
        top, left = block_offset(pixels) if blocks is None else blocks
    return Seen(np.ascontiguousarray(pixels[top:, left:]), (top, left))


def extract(
    networks: Sequence[FocalNetwork],
    pixels: NDArray[np.uint8],
    config: FocalConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> FeatureMaps:
    """Run every network over a picture (h, w, 3) and fuse what they say, on the first one's grid.

    Features of another stride are resampled to it by ``nearest`` (as released), evidence by
    ``bilinear``.
    """
    maps = [_run(n, pixels, config, device, dtype) for n in networks]
    grid = (maps[0][0].shape[2], maps[0][0].shape[3])
    strides = [(n.stride, networks[0].stride) for n in networks]
    features = [_to_grid(m[0], s, grid, "nearest") for m, s in zip(maps, strides, strict=True)]
    evidence = [
        _to_grid(m[1], s, grid, "bilinear")[0, 0]
        for m, s in zip(maps, strides, strict=True)
        if m[1] is not None
    ]
    fused = fuse_features(features)[0].permute(1, 2, 0).contiguous()
    copies = None
    # Copies only ever add to evidence: without any, looking for them would be wasted.
    if config.copies and evidence:
        sides = config.sides(pixels.shape)
        stride = networks[0].stride
        copies = _copies(pixels, grid, (grid[0] * stride / sides[0], grid[1] * stride / sides[1]))
    return FeatureMaps(fused, torch.stack(evidence).mean(0) if evidence else None, copies)


def _copies(pixels: NDArray[np.uint8], grid: tuple[int, int], reach: tuple[float, float]) -> Tensor:
    """Shares of the cells (k, 2, rows, columns) times confidence; ``reach`` is how much of either
    side of the picture the grid covers, 1 or a little more.
    """
    # Not grown: planes of the size of a large picture, two for each copy, would be gigabytes.
    found = find_copies(pixels, grow=False)
    if not found:
        return torch.zeros(0, 2, *grid)
    places = np.stack([np.stack([c.first, c.second]) * np.float32(c.confidence) for c in found])
    h, w = places.shape[2:]
    below, right = (max(0, round(n * r) - n) for n, r in zip((h, w), reach, strict=True))
    beyond = (0, right, 0, below)
    shares = F.adaptive_avg_pool2d(F.pad(torch.from_numpy(places), beyond), grid)
    # Of that part of a cell that lies in the picture.
    inside = F.adaptive_avg_pool2d(F.pad(torch.ones(1, 1, h, w), beyond), grid)
    return shares / inside.clamp(min=1e-6)


def _to_grid(one: Tensor, strides: tuple[int, int], grid: tuple[int, int], mode: str) -> Tensor:
    """A map (1, C, ..., ...) of the first stride on a grid of the second.

    Both grids start in the picture's corner, but the last cells reach beyond the picture, how far
    depends on the stride: so both are extended to a common side before they are scaled.
    """
    own, wanted = strides
    if own == wanted:
        return one
    common = math.lcm(own, wanted)
    h, w = (-(-n * wanted // common) * common for n in grid)
    pad = (0, w // own - one.shape[3], 0, h // own - one.shape[2])
    size = (h // wanted, w // wanted)
    scaled = F.interpolate(F.pad(one, pad, mode="replicate"), size=size, mode=mode)
    return scaled[..., : grid[0], : grid[1]]


def _run(
    network: FocalNetwork,
    pixels: NDArray[np.uint8],
    config: FocalConfig,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor | None]:
    if config.geometry == "square":
        x = preprocess(pixels, "focal", size=config.square_size)[None]
        return _forward(network, x, device, dtype)
    return _tiled(network, pixels, config, device, dtype)


def _forward(
    network: FocalNetwork, x: Tensor, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    x = x.to(device)
    if device.type != "mps":
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), computing(device, dtype):
        out = network(x)
    evidence = out.get("evidence")
    return out["features"].float().cpu(), None if evidence is None else evidence.float().cpu()


def _mirrored(x: Tensor) -> Tensor:
    return x.flip(3)


def _exchanged(x: Tensor) -> Tensor:
    return x.transpose(2, 3)


_MORE_VIEWS = (_mirrored, _exchanged)
"""Each undoes itself."""


def _several_views(
    network: FocalNetwork, x: Tensor, device: torch.device, dtype: torch.dtype, count: int
) -> tuple[Tensor, Tensor | None]:
    """As `_forward`, the mean over so many views of a picture, the picture itself being one.

    It is extended first, so that the blocks of every view begin in its corner. One view after the
    other: together they would need as many times the memory that a tile caps.
    """
    rows, columns = (-(-side // network.stride) for side in x.shape[2:])
    whole = pad_to_multiple(x, 4 * PERIOD)
    found, logits = _forward(network, whole, device, dtype)
    features, evidence = F.normalize(found, dim=1), logits
    for turn in _MORE_VIEWS[: count - 1]:
        found, logits = _forward(network, turn(whole), device, dtype)
        features = features + turn(F.normalize(found, dim=1))
        if evidence is not None and logits is not None:
            evidence = evidence + turn(logits)
    cut = (..., slice(rows), slice(columns))
    return features[cut] / count, None if evidence is None else evidence[cut] / count


def spans(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Tiles along one side as (start, stop): as few as ``tile`` allows, of about equal length,
    overlapping by ``overlap``; starts are multiples of 32, the last one ends at ``length``.
    """
    if length <= tile:
        return [(0, length)]
    fresh = length - overlap
    count = -(-fresh // (tile - overlap))
    # Equal steps: full tiles and a remnant would look at much of the picture twice.
    step = -(-fresh // (32 * count)) * 32
    starts = range(0, fresh, step)
    return [(start, min(start + step + overlap, length)) for start in starts]


def _tiles(
    height: int, width: int, config: FocalConfig
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    for rows in spans(height, config.tile, config.overlap):
        for columns in spans(width, config.tile, config.overlap):
            yield rows, columns


def _ramp(length: int, fade_in: bool, fade_out: bool, width: int) -> Tensor:
    """Weights (length,) that rise and fall over ``width`` cells where a tile meets a neighbour."""
    weights = torch.ones(length)
    width = min(width, length)
    if width:
        rise = (torch.arange(width) + 1.0) / (width + 1.0)
        if fade_in:
            weights[:width] = torch.minimum(weights[:width], rise)
        if fade_out:
            weights[-width:] = torch.minimum(weights[-width:], rise.flip(0))
    return weights


def _tiled(
    network: FocalNetwork,
    pixels: NDArray[np.uint8],
    config: FocalConfig,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor | None]:
    """Blend the tiles' maps with linear ramps over their overlaps; memory is that of one tile plus
    the maps.
    """
    h, w = pixels.shape[:2]
    s = network.stride
    rows, columns = -(-h // s), -(-w // s)
    features = torch.zeros(1, network.channels, rows, columns)
    evidence: Tensor | None = None
    total = torch.zeros(rows, columns)
    for (y0, y1), (x0, x1) in _tiles(h, w, config):
        tile = preprocess(np.ascontiguousarray(pixels[y0:y1, x0:x1]), "native")[None]
        if config.views > 1:
            f, e = _several_views(network, tile, device, dtype, config.views)
        else:
            f, e = _forward(network, tile, device, dtype)
        r, c, (n, m) = y0 // s, x0 // s, f.shape[-2:]
        weight = torch.outer(
            _ramp(n, y0 > 0, y1 < h, config.overlap // s),
            _ramp(m, x0 > 0, x1 < w, config.overlap // s),
        )
        # Unit length first: a tile must not outweigh its neighbour by the size of its vectors.
        features[..., r : r + n, c : c + m] += F.normalize(f, dim=1) * weight
        total[r : r + n, c : c + m] += weight
        if e is not None:
            evidence = torch.zeros(1, 1, rows, columns) if evidence is None else evidence
            evidence[..., r : r + n, c : c + m] += e * weight
    features /= total
    return features, None if evidence is None else evidence / total
