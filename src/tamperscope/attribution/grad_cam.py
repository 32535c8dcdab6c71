"""Grad-CAM (Selvaraju et al., arXiv:1610.02391): which places made a score large."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tamperscope.errors import ConfigError

Output = TypeVar("Output")

# Whose outputs a hook keeps: threads sharing a network must not see each other's.
_SEEN: ContextVar[list[Tensor] | None] = ContextVar("seen", default=None)

# keeps a map without contrast at zero where it would divide by zero
_EPSILON = 1e-7


@dataclass(frozen=True, eq=False)
class ClassActivation:
    """What Grad-CAM found.

    Attributes:
        weights: float32 (B, C): the mean gradient of the score over the places of each channel.
        activation: float32 (B, C, h, w), the layer's output.
        cam: float32 (B, h, w), 0 or more: the weighted sum of the channels, negative parts cut off;
            not normalised.
        output: what the network returned.
    """

    weights: Tensor
    activation: Tensor
    cam: Tensor
    output: Any


def grad_cam(
    network: Callable[[Tensor], Output],
    layer: nn.Module,
    x: Tensor,
    score: Callable[[Output], Tensor],
) -> ClassActivation:
    """Explain ``score`` by the output of ``layer``.

    The layer's output becomes the start of the computation that is differentiated, so nothing
    before it is, and no parameter collects a gradient. Works under ``no_grad`` and
    ``inference_mode`` too. Put the network into evaluation mode first: with batch statistics one
    picture's map depends on the others.

    Args:
        network: called with ``x``; must run ``layer`` exactly once.
        layer: its output must be one tensor (B, C, h, w), which nothing changes in place.
        x: the network's input, B pictures.
        score: from the network's output to (B,), the numbers to explain.

    Raises:
        ConfigError: the layer did not run exactly once, or the score does not depend on it.
        Whatever the network raises; the layer is left without a hook in any case.
    """
    with torch.inference_mode(False), torch.enable_grad(), _captured(layer) as seen:
        output = network(x.clone() if x.is_inference() else x)
        if len(seen) != 1:
            raise ConfigError(
                f"the explained layer ran {len(seen)} times: choose one that runs once a picture"
            )
        gradient = _gradient(score(output), seen[0])
        activation = seen[0].detach().float()
    weights = gradient.float().mean((2, 3))
    cam = torch.einsum("bc,bchw->bhw", weights, activation).relu()
    return ClassActivation(weights=weights, activation=activation, cam=cam, output=output)


def _gradient(score: Tensor, activation: Tensor) -> Tensor:
    found = None
    if score.requires_grad:
        (found,) = torch.autograd.grad(score.sum(), activation, allow_unused=True)
    if found is None:
        raise ConfigError(
            "the explained score does not depend on the layer: choose one before the score"
        )
    return found


@contextmanager
def _captured(layer: nn.Module) -> Iterator[list[Tensor]]:
    """The outputs of a layer, as leaves, while this lasts."""
    seen: list[Tensor] = []

    def hook(_module: nn.Module, _args: Any, output: Tensor) -> Tensor | None:
        if _SEEN.get() is not seen:
            return None
        leaf = output.detach().requires_grad_()
        seen.append(leaf)
        return leaf

    handle, mine = layer.register_forward_hook(hook), _SEEN.set(seen)
    try:
        yield seen
    finally:
        _SEEN.reset(mine)
        handle.remove()


def heat_map(cam: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
    """A class activation map (h, w) as a picture of ``size`` (height, width), in [0, 1].

    As pytorch-grad-cam draws it and DOLOS evaluates it: stretched to [0, 1], resized bilinearly,
    stretched again, and divided by its maximum. A map without contrast, such as one of zeros, has
    nothing to show and stays zero.

    Raises:
        ConfigError: cam is not a finite array (h, w), or a side is below 1.
    """
    if cam.ndim != 2 or not cam.size or not np.isfinite(cam).all():
        raise ConfigError(f"a class activation map must be a finite array (h, w), not {cam.shape}")
    if min(size) < 1:
        raise ConfigError(f"size must be (height, width), each at least 1, not {size}")
    stretched = _stretch(cam.astype(np.float32))
    resized = cv2.resize(stretched, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    heat = _stretch(np.asarray(resized, np.float32))
    top = heat.max()
    return heat / top if top > 0 else heat


def _stretch(values: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = values - values.min()
    stretched: NDArray[np.float32] = shifted / (np.float32(_EPSILON) + shifted.max())
    return stretched
