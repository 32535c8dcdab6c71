"""Small networks of FakeLocator and face parsers with random weights, and weights files of them."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from tamperscope.face_parsing.small import build_small_parser
from tamperscope.methods.fakelocator.network import FakeLocatorNetwork, build_network
from tamperscope.weights import WeightsCard, sha256_of
from tamperscope.weights.cards import format_card, sidecar

NETWORK: dict[str, Any] = {
    "architecture": "unet",
    "encoder": "resnet18",
    "encoder_depth": 3,
    "decoder_channels": [24, 16, 8],
}
PARSER: dict[str, Any] = {"widths": [8, 12, 16], "size": 64}


def random_network(seed: int = 0, **options: Any) -> FakeLocatorNetwork:
    """A network with random weights, and batch-norm statistics under which maps vary."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    network = build_network({**NETWORK, **options})
    _settle(network)
    torch.set_rng_state(state)
    return network.eval()


def _settle(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(4, 3, 64, 64) * 2 - 1)


def save_network(path: Path, network: FakeLocatorNetwork, **card: Any) -> Path:
    """Half-precision weights with their card beside them, as shipped ones are."""
    fields = {"method": "fakelocator", "backbone": "fakelocator", "options": NETWORK}
    return _save(path, network, **(fields | card))


def save_random(path: Path, seed: int = 0, options: dict[str, Any] | None = None) -> Path:
    """`random_network` as a file."""
    options = options or {}
    return save_network(path, random_network(seed, **options), options={**NETWORK, **options})


def save_parser(path: Path, seed: int = 0) -> Path:
    """A small face parser with random weights, as a file."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    network = build_small_parser(PARSER)
    _settle(network)
    torch.set_rng_state(state)
    fields = {"method": "face-parsing", "backbone": "face-parser", "options": PARSER}
    return _save(path, network, **fields)


def _save(path: Path, network: nn.Module, **card: Any) -> Path:
    state = {
        key: value.half() if value.is_floating_point() else value
        for key, value in network.state_dict().items()
    }
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    fields = {
        "name": path.stem, "summary": "for a test", "kind": "native", "preprocessing": "bilinear",
        "data": "none", "terms": "none", "sha256": sha256_of(path), "bytes": path.stat().st_size,
    }  # fmt: skip
    sidecar(path).write_text(format_card(WeightsCard(**(fields | card))), encoding="utf-8")
    return path
