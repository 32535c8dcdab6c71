"""The recipe behind the reference numbers: tensors and inputs filled from their names.

The fixtures hold inputs and outputs of the official repositories, run in evaluation mode on the
CPU; no weights. Every tensor of those runs was filled by `value_for` from its official key, and
every input by `make_input` from its name, so that both can be made again anywhere.
`recipe_selftest.json` records some of the values.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

FOLDER = Path(__file__).parent


def _random(name: str) -> np.random.RandomState:
    digest = hashlib.sha256(f"parity-v1:{name}".encode()).digest()
    return np.random.RandomState(int.from_bytes(digest[:4], "little"))


def value_for(key: str, shape: tuple[int, ...], gain: float = 1.0) -> NDArray[Any]:
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    normal = _random(key).standard_normal(size=shape)
    if leaf == "running_mean":
        value = 0.1 * normal
    elif leaf == "running_var":
        value = 1.0 + 0.1 * np.abs(normal)
    elif leaf == "bias":
        value = 0.05 * normal
    elif leaf in ("pos_embed", "rel_pos_h", "rel_pos_w"):
        value = 0.1 * normal
    elif len(shape) == 1:
        value = 1.0 + 0.1 * normal
    else:
        value = gain * normal / math.sqrt(math.prod(shape[1:]))
    return np.asarray(value, np.float32)


def make_input(name: str, shape: tuple[int, ...], kind: str) -> NDArray[np.float32]:
    random = _random(f"input:{name}")
    if kind == "uniform":
        value = random.uniform(0.0, 1.0, size=shape)
    elif kind == "signed":
        value = random.uniform(-1.0, 1.0, size=shape)
    else:
        value = random.standard_normal(size=shape)
    return np.asarray(value, np.float32)


def fill(
    module: torch.nn.Module, official: Callable[[str], str], gain: float = 1.0
) -> Mapping[str, torch.Tensor]:
    """Fill every tensor of ``module`` from its official key; returns the state by our keys."""
    state = {
        key: torch.from_numpy(value_for(official(key), tuple(tensor.shape), gain))
        for key, tensor in module.state_dict().items()
    }
    module.load_state_dict(state, strict=True)
    return state
