"""torch.compile as an engine."""

import warnings
from typing import cast

import torch

from tamperscope.engines import Graph, Runner
from tamperscope.weights import LoadedWeights


class CompiledEngine:
    """Implements `tamperscope.engines.Engine`: the graph, compiled by TorchInductor for any size.

    Needs a C++ compiler. Compiling happens at the first picture.
    """

    record = "compile"

    def runner(self, graph: Graph, weights: LoadedWeights) -> Runner:
        """See `tamperscope.engines.Engine`."""
        graph.module.eval().requires_grad_(False)
        compiled = torch.compile(graph.module, dynamic=graph.side is None)

        def run(inputs: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
            with warnings.catch_warnings(action="ignore"), torch.no_grad():
                return cast(dict[str, torch.Tensor], compiled(*inputs))

        return Runner(graph, weights.name, run)

    def settle(self) -> None:
        """See `tamperscope.engines.Engine`."""
