"""Gradients by forward operations alone, for networks that run where nothing differentiates."""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tamperscope.errors import ConfigError

PullBack = Callable[[Tensor], Tensor]
"""From the gradient with respect to an output to that with respect to the input."""


def run_layer(layer: nn.Module, x: Tensor) -> tuple[Tensor, PullBack]:
    """The output of a layer in evaluation mode, and how gradients go back through it.

    Knows what piecewise linear networks are made of: convolutions, batch normalisation, ReLU and
    max pooling.

    Args:
        layer: not in training mode.
        x: (B, C, h, w).

    Raises:
        ConfigError: another kind of layer, or a convolution that is neither 1x1 without padding nor
            of stride 1.
    """
    if isinstance(layer, nn.Conv2d):
        return layer(x), _through_convolution(layer, x)
    if isinstance(layer, nn.BatchNorm2d):
        return layer(x), _through_normalisation(layer)
    if isinstance(layer, nn.ReLU):
        # Not the layer itself: it may work in place, on what is still needed.
        y = F.relu(x)
        return y, lambda gradient: gradient * (y > 0)
    if isinstance(layer, nn.MaxPool2d):
        return _pooled(layer, x)
    raise ConfigError(
        f"gradients through {type(layer).__name__} need automatic differentiation: "
        "run this network with engine=torch"
    )


def run_layers(layers: Iterable[nn.Module], x: Tensor) -> tuple[Tensor, PullBack]:
    """`run_layer` for layers in a row."""
    steps: list[PullBack] = []
    for layer in layers:
        x, step = run_layer(layer, x)
        steps.append(step)

    def back(gradient: Tensor) -> Tensor:
        for step in reversed(steps):
            gradient = step(gradient)
        return gradient

    return x, back


def _through_convolution(layer: nn.Conv2d, x: Tensor) -> PullBack:
    stride, padding, kernel = layer.stride, layer.padding, layer.kernel_size
    if stride != (1, 1) and (kernel != (1, 1) or padding != (0, 0)):
        raise ConfigError(
            f"gradients through a {kernel} convolution of stride {stride} need automatic "
            "differentiation: run this network with engine=torch"
        )

    def back(gradient: Tensor) -> Tensor:
        spread = F.conv_transpose2d(
            gradient,
            layer.weight,
            padding=padding,  # type: ignore[arg-type]
            groups=layer.groups,
            dilation=layer.dilation,
        )
        for axis, step in zip((-2, -1), stride, strict=True):
            spread = _every(spread, step, axis)
        return spread[..., : x.shape[-2], : x.shape[-1]]

    return back


def _every(x: Tensor, step: int, axis: int) -> Tensor:
    """The rows or columns of ``x`` at every ``step``-th place, zeros between and after them."""
    if step == 1:
        return x
    zeros = [torch.zeros_like(x)] * (step - 1)
    return torch.stack([x, *zeros], axis).flatten(axis - 1, axis)


def _through_normalisation(layer: nn.BatchNorm2d) -> PullBack:
    if layer.running_var is None:
        raise ConfigError("batch normalisation without statistics has no gradient of its own here")
    scale = torch.rsqrt(layer.running_var + layer.eps)
    if layer.weight is not None:
        scale = scale * layer.weight
    return lambda gradient: gradient * scale[:, None, None]


def _pooled(layer: nn.MaxPool2d, x: Tensor) -> tuple[Tensor, PullBack]:
    y, places = F.max_pool2d(
        x,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        ceil_mode=layer.ceil_mode,
        return_indices=True,
    )

    def back(gradient: Tensor) -> Tensor:
        # Windows overlap, so a place may have won several times.
        flat = torch.zeros_like(x).flatten(2)
        return flat.scatter_add(2, places.flatten(2), gradient.flatten(2)).view_as(x)

    return y, back
