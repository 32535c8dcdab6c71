"""Networks, features and weights files small enough to know what must come out of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from tamperscope.backbones.base import Backbone
from tamperscope.methods.focal.features import FeatureMaps
from tamperscope.methods.focal.network import FocalNetwork, build_network
from tamperscope.train.checkpoint import plain
from tamperscope.weights import WeightsCard, sha256_of
from tamperscope.weights.cards import format_card, sidecar

CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "dim": 8,
    "evidence": True,
    "options": {"widths": [8, 8, 12, 16], "depths": [1, 1, 1, 1], "channels": 12, "attention": 1},
}
"""A compact network of a few thousand weights, as a card states it."""


class Patches(Backbone):
    """One convolution per square of pixels, without overlap: no cell knows of any other."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        side = weight.shape[-1]
        super().__init__(name="patches", stride=side, channels=len(weight), multiple=side)
        self.net = nn.Conv2d(3, len(weight), side, side)
        self.net.weight.data = weight.clone()
        self.net.bias.data = torch.zeros(len(weight)) if bias is None else bias.clone()
        self.seen: list[tuple[int, ...]] = []

    def features(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape))
        out: Tensor = self.net(x)
        return out


class Blurred(Backbone):
    """Three 3x3 convolutions at stride 4: a cell sees `REACH` pixels beyond its own."""

    REACH = 4 + 8 + 8

    def __init__(self) -> None:
        super().__init__(name="blurred", stride=4, channels=6, multiple=4)
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, 1), nn.Tanh(), nn.Conv2d(6, 6, 3, 2, 1), nn.Tanh(),
            nn.Conv2d(6, 6, 3, 1, 1),
        )  # fmt: skip
        self.seen: list[tuple[int, ...]] = []

    def features(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape))
        out: Tensor = self.net(x)
        return out


def bare(backbone: Backbone) -> FocalNetwork:
    """A backbone alone, as published."""
    return FocalNetwork(backbone, dim=0, evidence=False).eval()


def mean_colour(stride: int = 4) -> Patches:
    """Features that are the mean colour of a cell."""
    weight = torch.zeros(3, 3, stride, stride)
    for i in range(3):
        weight[i, i] = 1 / stride**2
    return Patches(weight)


def red_detector(stride: int = 4, gain: float = 16.0) -> FocalNetwork:
    """Features: mean colour. Evidence: ``gain`` x (red - 0.5), so that red cells are forged."""
    network = FocalNetwork(mean_colour(stride), dim=0, evidence=True)
    head = nn.Conv2d(3, 1, 1)
    head.weight.data = torch.tensor([gain, 0.0, 0.0]).view(1, 3, 1, 1)
    head.bias.data = torch.tensor([-gain / 2])
    network.evidence = head
    return network.eval()


def red_square(
    size: tuple[int, int], box: tuple[slice, slice]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A blue-green picture with one red rectangle, and where it is."""
    mask = np.zeros(size, bool)
    mask[box] = True
    return np.where(mask[..., None], (230, 40, 40), (30, 140, 160)).astype(np.uint8), mask


def two_regions(
    forged: NDArray[np.bool_], *, noise: float = 0.05, channels: int = 8, seed: int = 0
) -> Tensor:
    """Unit features (rows, columns, C): one direction where forged, another elsewhere."""
    rng = np.random.default_rng(seed)
    centres = np.eye(channels)[:2]
    rows = centres[forged.astype(int)] + rng.normal(0, noise, (*forged.shape, channels))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return torch.from_numpy(rows.astype(np.float32))


def maps(features: Tensor, evidence: NDArray[Any] | None = None) -> FeatureMaps:
    """What a network would have said."""
    logits = None if evidence is None else torch.from_numpy(np.asarray(evidence, np.float32))
    return FeatureMaps(features, logits)


def box(shape: tuple[int, int], rows: slice, columns: slice) -> NDArray[np.bool_]:
    """A rectangle in an empty mask."""
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return mask


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Overlap of two masks; 1 for two empty ones."""
    return float((a & b).sum() / max((a | b).sum(), 1)) if (a | b).any() else 1.0


def tiny_network(seed: int = 0, **changes: Any) -> FocalNetwork:
    """`TINY` with random weights and batch-norm statistics that are not the initial ones."""
    torch.manual_seed(seed)
    network = build_network({"backbone": "compact", **TINY, **changes})
    with torch.no_grad():
        network.train()(torch.rand(2, 3, 64, 64))
    return network.eval()


def save_weights(
    path: Path, state: Mapping[str, Tensor], *, backbone: str, options: dict[str, Any], **card: Any
) -> Path:
    """A weights file with its card beside it."""
    save_file(plain(state), path)
    fields = {
        "name": path.stem, "summary": "for a test", "method": "focal", "kind": "native",
        "preprocessing": "native", "data": "none", "terms": "none", "sha256": sha256_of(path),
    }  # fmt: skip
    whole = WeightsCard(backbone=backbone, options=options, **(fields | card))
    sidecar(path).write_text(format_card(whole), encoding="utf-8")
    return path


def save_tiny(path: Path, seed: int = 0, **card: Any) -> Path:
    """`tiny_network` as a file."""
    state = tiny_network(seed).state_dict()
    return save_weights(path, state, backbone="compact", options=TINY, **card)
