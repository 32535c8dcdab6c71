"""The networks of DOLOS as graphs for other engines."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tamperscope.attribution.pull_back import run_layers
from tamperscope.backbones.xception import SeparableConv2d
from tamperscope.engines import Graph
from tamperscope.methods.dolos.network import (
    AttentionNetwork,
    DolosNetwork,
    GradCamNetwork,
)

SMALLEST = 43
"""Least side: below it a map of the deepest network has no cell left."""


def graph_of(network: DolosNetwork) -> Graph:
    """The graph of a network, in evaluation mode.

    Outputs: ``features`` (B, C, rows, columns) under the map, and what the method decides by:
    ``map_logits`` (B, 2, rows, columns), ``mask_logits`` (B, 1, rows, columns), ``label_logits``
    (B, 2), ``cam`` (B, rows, columns; 0 or more, not normalised).
    """
    return Graph(
        module=_Explained(network) if isinstance(network, GradCamNetwork) else _Answered(network),
        inputs={"x": 3},
        outputs=("features", *_outputs(network)),
        smallest=SMALLEST,
        traced_from=SMALLEST,
        values="RGB / 127.5 - 1",
        facts={
            "method": network.method,
            "supervision": network.supervision,
            "input_size": network.input_size,
            "name": network.name,
        },
    )


def _outputs(network: DolosNetwork) -> tuple[str, ...]:
    if isinstance(network, GradCamNetwork):
        return ("cam", "label_logits")
    if isinstance(network, AttentionNetwork):
        weak = network.supervision == "weak"
        return ("mask_logits", "label_logits") if weak else ("mask_logits",)
    return ("map_logits",)


class _Answered(nn.Module):
    def __init__(self, network: DolosNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """See `DolosNetwork.deciding`."""
        return self.network.deciding(x)


class _Explained(nn.Module):
    """Grad-CAM of the label fake: behind the explained block the network is piecewise linear, so
    its gradient is a chain of forward operations."""

    def __init__(self, network: GradCamNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Features, activation map and label of pictures (B, 3, h, w)."""
        xception = self.network.xception
        features = xception.features(x, until=self.network.feature_block)
        block: Any = xception.block(self.network.feature_block + 1)
        main, back_main = run_layers(_unpacked(block.rep), features)
        beside, back_beside = run_layers([block.skip, block.skipbn], features)
        tail = [xception.conv3, xception.bn3, nn.ReLU(), xception.conv4, xception.bn4, nn.ReLU()]
        last, back_tail = run_layers(_unpacked(tail), main + beside)
        # The mean over places hands every place the same share.
        share = xception.fc.weight[1][:, None, None] / (last.shape[-2] * last.shape[-1])
        gradient = back_tail(torch.zeros_like(last) + share)
        weights = (back_main(gradient) + back_beside(gradient)).mean((2, 3), keepdim=True)
        return {
            "features": features,
            "cam": (weights * features).sum(1).relu(),
            "label_logits": xception.fc(last.mean((2, 3))),
        }


def _unpacked(layers: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """The layers, depth-wise separable convolutions as the two convolutions they are."""
    for layer in layers:
        yield from layer.children() if isinstance(layer, SeparableConv2d) else (layer,)
