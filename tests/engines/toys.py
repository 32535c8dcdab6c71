"""Graphs and weights small enough to be exported in a second."""

from pathlib import Path

import torch
from torch import Tensor, nn

from tamperscope.engines import Graph
from tamperscope.engines.geometry import Padded
from tamperscope.weights import LoadedWeights, WeightsCard, sha256_of


class Halved(nn.Module):
    """One convolution of stride 2 over one or two inputs, which needs even sides."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 2, 2)

    def forward(self, x: Tensor, weight: Tensor | None = None) -> dict[str, Tensor]:
        """``map`` at half the resolution and its ``mean``."""
        found = self.conv(x if weight is None else x * weight)
        return {"unused": x, "map": found, "mean": found.mean((2, 3))}


def graph(*, weighted: bool = False, side: int | None = None) -> Graph:
    """A graph of random weights, the same ones every time."""
    torch.manual_seed(0)
    return Graph(
        module=Padded(Halved(), 2, {"map": 2}),
        inputs={"x": 3, "weight": 1} if weighted else {"x": 3},
        outputs=("map", "mean"),
        values="RGB / 255",
        side=side,
        smallest=2,
        traced_from=3,
        stride=2,
        multiple=2,
        facts={"stride": 2},
    )


def weights(folder: Path, text: str = "weights", name: str = "toy") -> LoadedWeights:
    """A file that stands for weights, with a card."""
    path = folder / f"{name}.safetensors"
    path.write_text(text)
    card = WeightsCard(
        name=name,
        summary="",
        method="toys",
        kind="native",
        backbone="toy",
        preprocessing="native",
        data="none",
        terms="anything goes",
    )
    return LoadedWeights(path=path, sha256=sha256_of(path), card=card)
