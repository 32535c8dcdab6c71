"""A network as tensors in and tensors out, with everything that running it elsewhere needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from tamperscope.errors import ImageValueError
from tamperscope.provenance import JSON
from tamperscope.weights import LoadedWeights


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """A network as it is used, not trained.

    Attributes:
        module: called with the inputs in their order, of any size from ``smallest``; returns the
            outputs by name, and perhaps others. It must not branch on the size.
        inputs: name -> channels; each is float32 (B, channels, h, w), all of the same h and w.
        outputs: names, in their order.
        values: what the numbers of the first input are, in words.
        side: the one side of its inputs, for networks made for a single size; None for any.
        smallest: the least side.
        traced_from: the least side that tracing may take for granted.
        stride: pixels per cell of the map it makes; 0 where that does not divide evenly.
        multiple: sides are brought to multiples of it inside the graph.
        facts: attributes that a stand-in needs, because callers of the network read them.
    """

    module: nn.Module
    inputs: Mapping[str, int]
    outputs: Sequence[str]
    values: str
    side: int | None = None
    smallest: int = 1
    traced_from: int = 1
    stride: int = 0
    multiple: int = 1
    facts: Mapping[str, Any] = field(default_factory=dict)


Run = Callable[[tuple[Tensor, ...]], Mapping[str, Tensor]]
"""From a graph's inputs to its outputs by name."""


class Runner(nn.Module):
    """Stands in for a network: its graph, run by an engine. Has the graph's facts as attributes.

    Args:
        graph: what is run; its module is not kept.
        name: of the network, for messages.
        run: does it.
    """

    def __init__(self, graph: Graph, name: str, run: Run) -> None:
        super().__init__()
        for fact, value in graph.facts.items():
            setattr(self, fact, value)
        self._name, self._run = name, run
        self._inputs, self._side, self._smallest = len(graph.inputs), graph.side, graph.smallest

    def forward(self, *inputs: Tensor | None) -> dict[str, Tensor]:
        """The network's outputs by name, float32.

        Args:
            inputs: the graph's; one that is None, behind the first, is one everywhere.

        Raises:
            ImageValueError: a size that the network does not take.
        """
        first = inputs[0]
        assert first is not None
        self._check(first.shape[-2], first.shape[-1])
        whole = first.new_ones((first.shape[0], 1, *first.shape[-2:]))
        given = [*inputs, *[None] * self._inputs][: self._inputs]
        return dict(self._run(tuple((whole if x is None else x).float() for x in given)))

    def _check(self, h: int, w: int) -> None:
        if self._side is not None and (h, w) != (self._side, self._side):
            raise ImageValueError(
                f"{self._name} was exported for {self._side} x {self._side} pixels and got "
                f"{w} x {h}: give it that size, or use engine=torch"
            )
        if min(h, w) < self._smallest:
            raise ImageValueError(
                f"{self._name} needs sides of at least {self._smallest} pixels and got {w} x {h}: "
                "give it a larger size"
            )


class Engine(Protocol):
    """Makes something that runs a network."""

    @property
    def record(self) -> JSON:
        """What results say of it: equal settings and equal records give equal results."""
        ...

    def runner(self, graph: Graph, weights: LoadedWeights) -> Runner:
        """What answers in the place of a graph's network, which has these weights.

        Raises:
            WeightsError: what the engine would run cannot be used.
        """
        ...

    def settle(self) -> None:
        """Called when a method has all its runners.

        Raises:
            WeightsError: the engine was given something that none of them uses.
        """
        ...
