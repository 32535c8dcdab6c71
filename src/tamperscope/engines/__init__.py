"""What runs a network: PyTorch itself, or ONNX Runtime on a file that PyTorch wrote.

A method describes each of its networks as a `Graph`; an `Engine` takes a graph and gives something
that answers in the network's place. Methods know no engine by name.
"""

from tamperscope.engines.graph import Engine, Graph, Runner

__all__ = ["Engine", "Graph", "Runner"]
