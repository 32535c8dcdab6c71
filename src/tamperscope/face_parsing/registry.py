"""Face parsers by name or file."""

import os
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tamperscope.engines import Engine
from tamperscope.errors import WeightsError
from tamperscope.face_parsing.bisenet import INPUT_SIZE, MEAN, STD, BiSeNet
from tamperscope.face_parsing.graph import graph_of
from tamperscope.face_parsing.networks import NetworkParser
from tamperscope.face_parsing.parts import NUMBERINGS, PARTS
from tamperscope.face_parsing.preprocess import squeeze
from tamperscope.face_parsing.small import SmallParser, build_small_parser
from tamperscope.weights import (
    detect_kind,
    find,
    load_state,
    load_weights,
)

SHIPPED = "face-parser"
"""The weights that ``shipped`` stands for."""


def load_parser(
    name_or_path: str | os.PathLike[str] = "shipped",
    *,
    device: torch.device | str = "cpu",
    engine: Engine | None = None,
) -> NetworkParser:
    """A face parser, ready to be called with pixels.

    Args:
        name_or_path: ``"shipped"``; a file of BiSeNet's (``79999_iter.pth``) or of our small
            parser's weights, the latter with its card beside it; a name of the weights list;
            ``"segformer"`` or ``"segformer:MODEL"``, see
            `tamperscope.face_parsing.segformer.load_segformer`.
        device: where the network runs.
        engine: what runs it; None for PyTorch itself. SegFormer always runs in PyTorch.

    Raises:
        WeightsError: or a subclass: not found, damaged, or for another network.
        UnknownNameError: no such name.
        MissingExtraError: SegFormer without transformers.
    """
    name = os.fspath(name_or_path)
    kind, _, model = name.partition(":")
    if kind == "segformer":
        from tamperscope.face_parsing.segformer import DEFAULT_MODEL, load_segformer

        return load_segformer(model or DEFAULT_MODEL, device=device)
    name = SHIPPED if name == "shipped" else name
    network = _network_for(name)
    loaded = load_weights(network, name)
    prepare: Callable[[NDArray[np.uint8]], Tensor]
    if isinstance(network, BiSeNet):
        prepare, names = _normalised, NUMBERINGS["bisenet"]
    else:
        prepare, names = partial(squeeze, size=network.input_size), PARTS
    run: nn.Module = network
    if engine is not None:
        run = _Logits(engine.runner(graph_of(network.eval()), loaded))
    weights = {loaded.name: loaded.sha256}
    return NetworkParser(run, prepare, names=names, weights=weights, device=device)


class _Logits(nn.Module):
    """A stand-in of a parser, with its one output bare."""

    def __init__(self, runner: nn.Module) -> None:
        super().__init__()
        self.runner = runner

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, n, h, w)."""
        logits: Tensor = self.runner(x)["logits"]
        return logits


def _network_for(name: str) -> SmallParser | BiSeNet:
    path, card = find(name)
    if card is not None and card.backbone == "face-parser":
        return build_small_parser(card.options)
    if card is not None and card.backbone != "bisenet":
        raise WeightsError(f"{name} is for {card.method}: it labels no parts of a face")
    if card is None and detect_kind(load_state(path)) != "bisenet":
        raise WeightsError(
            f"{name} has no card beside it and is no BiSeNet checkpoint: keep the .toml that was "
            "exported with it, or give 79999_iter.pth"
        )
    return BiSeNet()


def _normalised(pixels: NDArray[np.uint8]) -> Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (squeeze(pixels, INPUT_SIZE) * 0.5 + 0.5 - mean) / std
