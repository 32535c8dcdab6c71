"""A graph into an ONNX file."""

import contextlib
import os
import secrets
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tamperscope.engines.graph import Graph
from tamperscope.errors import ResultError, WeightsError, missing_extra
from tamperscope.provenance import tool_version
from tamperscope.weights import LoadedWeights

FORMAT = "tamperscope-graph-1"
"""What a file of ours says it is, under the key ``format``."""

OPSET = 18


class _Ordered(nn.Module):
    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.module, self.names = graph.module, tuple(graph.outputs)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs: dict[str, Tensor] = self.module(*inputs)
        return tuple(outputs[name] for name in self.names)


def write_onnx(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    weights: LoadedWeights,
) -> Path:
    """Write a graph as one ONNX file that takes any batch and, unless it has one side, any size.

    Args:
        graph: in evaluation mode, on the CPU.
        path: the file; an existing one is replaced, folders are made.
        weights: those in it; with their card, they become part of the file's metadata.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
        WeightsError: the network has operations that ONNX has no words for.
        ResultError: the file cannot be written.
    """
    if find_spec("onnx") is None or find_spec("onnxscript") is None:
        raise missing_extra("writing ONNX files", "onnx")
    graph.module.eval().requires_grad_(False)
    target = Path(path)
    with _replacing(target) as draft:
        program = _program(graph, weights.name)
        program.model.metadata_props.update(_description(graph, weights))
        program.model.producer_name, program.model.producer_version = "tamperscope", tool_version()
        program.save(draft, external_data=False)
    return target


def _program(graph: Graph, name: str) -> Any:
    sides = _example_sides(graph)
    example = tuple(torch.rand(2, channels, *sides) for channels in graph.inputs.values())
    axes: dict[int, Any] = {0: torch.export.Dim("batch")}
    if graph.side is None:
        least = graph.traced_from
        axes |= {i: torch.export.Dim(n, min=least) for i, n in ((2, "height"), (3, "width"))}
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.onnx.export(
                _Ordered(graph).eval(),
                example,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_shapes={"inputs": (axes,) * len(example)},
                verbose=False,
            )
    except Exception as error:  # the exporter's own errors, and torch.export's many kinds
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())[:160] or type(cause).__name__
        raise WeightsError(
            f"{name} cannot be written as ONNX by torch {torch.__version__} ({reason}): "
            "run it with engine=torch"
        ) from error


def _example_sides(graph: Graph) -> tuple[int, int]:
    if graph.side is not None:
        return graph.side, graph.side
    # Different and odd, so that nothing can mistake one side for the other or for a multiple.
    least = max(graph.traced_from, graph.smallest, 33)
    return least + 2, least + 5


def side_of(graph: Graph) -> str:
    """What the notes in a file say of the side of its inputs, in pixels."""
    return "any" if graph.side is None else str(graph.side)


def _description(graph: Graph, weights: LoadedWeights) -> dict[str, str]:
    card = weights.card
    known = (
        {}
        if card is None
        else {
            "method": card.method,
            "preprocessing": card.preprocessing,
            "data": card.data,
            "terms": card.terms,
        }
    )
    return known | {
        "format": FORMAT,
        "tamperscope": tool_version(),
        "weights": weights.name,
        "weights_sha256": weights.sha256,
        "input_values": graph.values,
        "side": side_of(graph),
        "smallest_side": str(graph.smallest),
        "stride": str(graph.stride) if graph.stride else "see the shape of the outputs",
        "multiple": str(graph.multiple),
        "precision": "fp32",
    }


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A neighbour to write to, which becomes ``target`` if nothing goes wrong."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        draft.replace(target)
    except OSError as error:
        reason = error.strerror or error
        raise ResultError(f"cannot write {target}: {reason}; choose another place") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
