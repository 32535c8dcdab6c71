"""FakeLocator's network as a graph for other engines."""

from tamperscope.engines import Graph
from tamperscope.engines.geometry import Padded
from tamperscope.methods.fakelocator.network import STRIDE, FakeLocatorNetwork


def graph_of(network: FakeLocatorNetwork) -> Graph:
    """The graph of a network in evaluation mode: ``map_logits`` (B, 1, h, w), ``label_logits``
    (B, 2), ``embedding`` (B, D).

    Networks with attention have a second input, ``attention`` (B, 1, h, w) in [0, 1]; where there
    is none to give, it is one everywhere.
    """
    attention = {"attention": 1} if network.uses_attention else {}
    return Graph(
        module=Padded(network, STRIDE, {"map_logits": 1}),
        inputs={"x": 3, **attention},
        outputs=("map_logits", "label_logits", "embedding"),
        values="RGB / 127.5 - 1",
        traced_from=STRIDE + 1,
        stride=1,
        multiple=STRIDE,
        facts={
            "input_size": network.input_size,
            "name": network.name,
            "uses_attention": network.uses_attention,
            "attention_weights": network.attention_weights,
        },
    )
