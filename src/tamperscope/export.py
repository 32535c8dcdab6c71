"""The networks of a method as files for other programs."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tamperscope import catalog
from tamperscope.backbones.base import Backbone
from tamperscope.engines import Graph, Runner
from tamperscope.engines.onnx_export import write_onnx
from tamperscope.errors import ConfigError, ResultError, unknown
from tamperscope.face_parsing.bisenet import BiSeNet
from tamperscope.face_parsing.small import SmallParser
from tamperscope.methods.dolos.network import DolosNetwork
from tamperscope.methods.fakelocator.network import FakeLocatorNetwork
from tamperscope.methods.focal.network import FocalNetwork
from tamperscope.provenance import JSON
from tamperscope.weights import LoadedWeights, list_weights

FORMATS = ("onnx",)
PARSER = "face-parser"
"""Stands for the face parser among the methods that can be exported."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """One file that `export` wrote.

    Attributes:
        path: of the file.
        weights: name of the weights in it; their sha256, empty for random ones.
        bytes: its size.
        inputs, outputs: names of the tensors.
        side: of the pictures it takes; None for any size.
    """

    path: Path
    weights: str
    sha256: str
    bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    side: int | None


def export(
    method: str,
    output: str | os.PathLike[str],
    *,
    format: str = "onnx",
    preset: str | None = None,
    weights: catalog.WeightsChoice = None,
    untrained: bool = False,
    overwrite: bool = True,
    **config: Any,
) -> list[Exported]:
    """Write the networks that a method runs, each to one file.

    Args:
        method: of the catalogue, or ``face-parser``.
        output: the file of the first network. If the method runs more, such as a face parser beside
            its own, these go beside it, with the name of their weights before the ending.
        format: ``onnx``.
        preset, weights, config: as for `tamperscope.load`; for the face parser ``weights`` are what
            `tamperscope.face_parsing.registry.load_parser` takes.
        untrained: write random weights in the place of ``weights``, which need not be there: to try
            a network out before its weights are.
        overwrite: replace files that exist.

    Raises:
        UnknownNameError, ConfigError, WeightsError, MissingExtraError: as for `tamperscope.load`;
            also a network that ONNX has no words for.
        ResultError: a file cannot be written, or exists.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    seen = _Recorder()
    if method == PARSER and (preset is not None or config):
        raise ConfigError("the face parser has neither presets nor settings: leave them out")
    if untrained:
        seen.record_untrained(method, weights, _side(method, preset, config))
    elif method == PARSER:
        _load_parser(weights, seen)
    else:
        catalog.load(method, preset=preset, weights=weights, device="cpu", engine=seen, **config)
    if not seen.networks:
        raise ConfigError(f"the network of weights={weights} is not ours to export")
    target = Path(output)
    names = (target, *(_beside(target, loaded.name) for _, loaded in seen.networks[1:]))
    if not overwrite and (there := [path for path in names if path.exists()]):
        raise ResultError(
            f"{there[0]} exists already: choose another name, or use overwrite (--overwrite)"
        )
    return [_write(*one, path) for one, path in zip(seen.networks, names, strict=True)]


def graph_of(network: nn.Module, *, side: int | None = None) -> Graph:
    """The graph of any network that `tamperscope.catalog.build_network` makes, for FOCAL's ones of
    a fixed size with pictures of ``side`` pixels, if given.

    Raises:
        ConfigError: it runs in no method.
    """
    if isinstance(network, Backbone):
        network = FocalNetwork(network, dim=0, evidence=False)
    network.eval().requires_grad_(False)
    if isinstance(network, FocalNetwork):
        from tamperscope.methods.focal import graph as focal

        return focal.graph_of(network, **({} if side is None else {"side": side}))
    if isinstance(network, DolosNetwork):
        from tamperscope.methods.dolos import graph as dolos

        return dolos.graph_of(network)
    if isinstance(network, FakeLocatorNetwork):
        from tamperscope.methods.fakelocator import graph as fakelocator

        return fakelocator.graph_of(network)
    if isinstance(network, SmallParser | BiSeNet):
        from tamperscope.face_parsing import graph as parsing

        return parsing.graph_of(network)
    raise ConfigError(f"{type(network).__name__} runs in no method: export another network")


class _Recorder:
    """An engine that runs nothing, and notes what it would have to run."""

    def __init__(self) -> None:
        self.networks: list[tuple[Graph, LoadedWeights]] = []

    @property
    def record(self) -> JSON:
        return "none"

    def runner(self, graph: Graph, weights: LoadedWeights) -> Runner:
        self.networks.append((graph, weights))
        return Runner(graph, weights.name, _not_run)

    def settle(self) -> None:
        pass

    def record_untrained(
        self, method: str, weights: catalog.WeightsChoice, side: int | None
    ) -> None:
        """A network with the card of its weights, and random numbers in their place."""
        cards = {card.name: card for card in list_weights()}
        name = weights if isinstance(weights, str) else None
        if weights is not None and name is None:
            raise ConfigError("untrained: name the weights whose network is meant, one at a time")
        if name is None:
            name = PARSER if method == PARSER else catalog.card(method).weights[0]
        if name not in cards:
            raise unknown("weights", name, cards)
        card = cards[name]
        wanted = "face-parsing" if method == PARSER else method
        if card.method != wanted:
            raise ConfigError(f"the weights {name!r} are for {card.method}, not for {method}")
        torch.manual_seed(0)
        graph = graph_of(catalog.build_network(card.backbone, **card.options), side=side)
        card = dataclasses.replace(card, name=f"{name}-untrained", terms="random numbers", data="")
        self.networks.append((graph, LoadedWeights(path=Path(name), sha256="", card=card)))


def _side(method: str, preset: str | None, config: dict[str, Any]) -> int | None:
    """The side that FOCAL's settings give its networks; the other methods' take any."""
    if method != "focal":
        if preset is not None or config:
            raise ConfigError(f"untrained: {method} has no settings that change its network")
        return None
    from tamperscope.methods.focal.config import resolve

    return resolve(preset or "default", config).square_size


def _not_run(_inputs: Any) -> Any:
    raise AssertionError("this network was only looked at")


def _load_parser(weights: catalog.WeightsChoice, engine: _Recorder) -> None:
    from tamperscope.face_parsing.registry import load_parser

    if weights is not None and not isinstance(weights, str | os.PathLike):
        raise ConfigError("the face parser runs one network: give one weights file")
    load_parser("shipped" if weights is None else weights, engine=engine)


def _beside(target: Path, name: str) -> Path:
    return target.with_name(f"{target.stem}.{Path(name).stem}{target.suffix}")


def _write(graph: Graph, weights: LoadedWeights, path: Path) -> Exported:
    write_onnx(graph, path, weights=weights)
    return Exported(
        path=path,
        weights=weights.name,
        sha256=weights.sha256,
        bytes=path.stat().st_size,
        inputs=tuple(graph.inputs),
        outputs=tuple(graph.outputs),
        side=graph.side,
    )
