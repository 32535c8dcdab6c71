"""FOCAL's networks as graphs for other engines."""

from typing import Any, cast

from torch import Tensor, nn

from tamperscope.backbones.sam_vit import SamViTBackbone
from tamperscope.engines import Graph
from tamperscope.engines.geometry import covered, mirrored
from tamperscope.methods.focal.network import FocalNetwork


class _AnySize(nn.Module):
    """A network whose backbone mirrors every picture to the sides it needs, without asking."""

    def __init__(self, network: FocalNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """As `FocalNetwork.forward`."""
        backbone = self.network.backbone
        features = backbone.features(mirrored(x, backbone.multiple))
        # Cropped before the heads, as they look beyond a cell.
        return self.network.heads(covered(features, x, backbone.stride))


def graph_of(network: FocalNetwork, *, side: int = 1024) -> Graph:
    """The graph of a network in evaluation mode: ``features`` (B, channels, rows, columns), not
    normalised, and, with an evidence head, ``evidence`` (B, 1, rows, columns), logits.

    Args:
        side: of the pictures, for a backbone that is built for one size (SAM's ViT).
    """
    backbone = network.backbone
    fixed = isinstance(backbone, SamViTBackbone)
    for part in network.modules():
        # timm's fused attention has no counterpart in ONNX; written out it is the same.
        if hasattr(part, "fused_attn"):
            cast(Any, part).fused_attn = False
    return Graph(
        module=network if fixed else _AnySize(network),
        inputs={"x": 3},
        outputs=("features",) if network.evidence is None else ("features", "evidence"),
        values="RGB / 255",
        side=side if fixed else None,
        # A grid of one cell is a special case to PyTorch, though not to the operations in it.
        traced_from=backbone.multiple + 1,
        stride=backbone.stride,
        multiple=backbone.multiple,
        facts={
            "stride": network.stride,
            "channels": network.channels,
            # Callers only ask whether there is one.
            "evidence": None if network.evidence is None else True,
        },
    )
