"""Face parsers as graphs for other engines."""

from torch import Tensor, nn

from tamperscope.engines import Graph
from tamperscope.engines.geometry import Padded
from tamperscope.face_parsing.bisenet import INPUT_SIZE, BiSeNet
from tamperscope.face_parsing.small import SmallParser


class _Named(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits by name."""
        return {"logits": self.network(x)}


def graph_of(network: SmallParser | BiSeNet) -> Graph:
    """The graph of a parser in evaluation mode: ``logits`` (B, 19, h, w).

    BiSeNet's takes the one size that it was trained on.
    """
    if isinstance(network, BiSeNet):
        return Graph(
            module=_Named(network),
            inputs={"x": 3},
            outputs=("logits",),
            values="(RGB / 255 - mean) / standard deviation, those of ImageNet",
            side=INPUT_SIZE,
            stride=1,
        )
    return Graph(
        module=Padded(_Named(network), network.stride, {"logits": 1}),
        inputs={"x": 3},
        outputs=("logits",),
        values="RGB / 127.5 - 1",
        traced_from=network.stride + 1,
        stride=1,
        multiple=network.stride,
    )
