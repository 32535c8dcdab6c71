"""Networks of DOLOS with random weights, and weights files of them."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tamperscope.methods.dolos.network import METHODS, DolosNetwork, module_for
from tamperscope.train.checkpoint import plain
from tamperscope.weights import WeightsCard, sha256_of
from tamperscope.weights.cards import format_card, sidecar

FAST = 96
"""A side that keeps the deep networks quick."""


def random_network(method: str, seed: int = 0, **options: Any) -> DolosNetwork:
    """One of the six with random weights, and batch-norm statistics under which maps vary."""
    generator = torch.get_rng_state()
    torch.manual_seed(seed)
    network = module_for(**METHODS[method], **options)
    assert isinstance(network, DolosNetwork)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(4, 3, FAST, FAST) * 2 - 1)
    torch.set_rng_state(generator)
    return network.eval()


def save_network(path: Path, network: DolosNetwork, method: str, **card: Any) -> Path:
    """Half-precision weights with their card beside them, as shipped ones are."""
    state = {
        key: value.half() if value.is_floating_point() else value
        for key, value in network.state_dict().items()
    }
    save_file(plain(state), path)
    options: dict[str, Any] = dict(METHODS[method])
    if method.startswith("dolos-patches"):
        options["block"] = network.feature_block
    if getattr(network, "map_only", False):
        options["map_only"] = True
    fields = {
        "name": path.stem, "summary": "for a test", "method": method, "kind": "native",
        "backbone": "xception", "options": options, "preprocessing": "bilinear", "data": "none",
        "terms": "none", "sha256": sha256_of(path), "bytes": path.stat().st_size,
    }  # fmt: skip
    sidecar(path).write_text(format_card(WeightsCard(**(fields | card))), encoding="utf-8")
    return path


def save_random(path: Path, method: str, seed: int = 0, **card: Any) -> Path:
    """`random_network` as a file."""
    return save_network(path, random_network(method, seed), method, **card)
