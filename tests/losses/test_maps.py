"""Losses between a map and a mask."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tamperscope.errors import ConfigError
from tamperscope.losses import maps

ALL: list[Callable[..., Tensor]] = [
    maps.binary_cross_entropy,
    maps.focal,
    maps.dice,
    maps.l1,
    maps.l2,
]


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 1, 6, 7, generator=generator)
    return logits, (torch.rand(3, 1, 6, 7, generator=generator) > 0.8).float()


def test_cross_entropy_is_torch_s(pair: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(
        maps.binary_cross_entropy(*pair), F.binary_cross_entropy_with_logits(*pair)
    )


def test_balanced_cross_entropy_is_the_mean_of_the_class_means(pair: tuple[Tensor, Tensor]) -> None:
    logits, target = pair
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    expected = (each[target == 1].mean() + each[target == 0].mean()) / 2
    balanced = maps.binary_cross_entropy(logits, target, balanced=True)
    torch.testing.assert_close(balanced, expected)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_balancing_needs_two_classes(value: float) -> None:
    logits, target = torch.randn(1, 4, 4), torch.full((1, 4, 4), value)
    torch.testing.assert_close(
        maps.binary_cross_entropy(logits, target, balanced=True),
        maps.binary_cross_entropy(logits, target),
    )


def test_focal_without_focus_is_cross_entropy(pair: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(maps.focal(*pair, gamma=0), maps.binary_cross_entropy(*pair))


def test_focal_by_hand() -> None:
    logits, target = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]])
    p = torch.sigmoid(logits)[0]
    expected = (0.25 * (0.5**2) * -p[0].log() + 0.75 * (p[1] ** 2) * -(1 - p[1]).log()) / 2
    torch.testing.assert_close(maps.focal(logits, target, alpha=0.25), expected)


def test_focal_has_finite_gradients_at_certainty() -> None:
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    maps.focal(logits, torch.tensor([[1.0, 0.0]]), gamma=0.5).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_dice_of_perfect_and_of_opposite() -> None:
    target = torch.zeros(2, 1, 4, 4)
    target[0, :, :2] = 1
    sure = (target * 2 - 1) * 100
    assert maps.dice(sure, target).item() == pytest.approx(0, abs=1e-6)
    # Picture 0: 1 / (8 + 8 + 1); picture 1, empty: 1 / (16 + 1).
    expected = 1 - 1 / 17
    assert maps.dice(-sure, target).item() == pytest.approx(expected, abs=1e-6)


def test_distances_are_torch_s(pair: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(maps.l1(*pair), F.l1_loss(*pair))
    torch.testing.assert_close(maps.l2(*pair), F.mse_loss(*pair))


@pytest.mark.parametrize("loss", ALL)
def test_ignored_places_count_for_nothing(loss: Any, pair: tuple[Tensor, Tensor]) -> None:
    logits, target = pair
    ignore = torch.zeros_like(target, dtype=torch.bool)
    ignore[..., 4:] = True
    marked = target.masked_fill(ignore, 255)
    torch.testing.assert_close(
        loss(logits, marked, ignore=ignore), loss(logits[..., :4], target[..., :4])
    )


@pytest.mark.parametrize("loss", ALL)
def test_everything_ignored_is_zero_on_the_graph(loss: Any) -> None:
    logits = torch.randn(1, 3, 3, requires_grad=True)
    target = torch.zeros(1, 3, 3)
    value = loss(logits, target, ignore=torch.ones(1, 3, 3, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0


@pytest.mark.parametrize("loss", ALL)
def test_gradient_is_the_derivative(loss: Any) -> None:
    values = torch.rand(2, 3, 3).double().requires_grad_()
    target = (torch.rand(2, 3, 3) > 0.5).double()
    assert torch.autograd.gradcheck(lambda v: loss(v, target), (values,))


@pytest.mark.parametrize("loss", ALL)
def test_half_precision_is_summed_in_single(loss: Any, pair: tuple[Tensor, Tensor]) -> None:
    logits, target = pair[0].bfloat16(), pair[1]
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(logits, target.bool())
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(logits.float(), target))


def test_errors() -> None:
    logits, target = torch.rand(1, 4, 4), torch.zeros(1, 4, 4)
    with pytest.raises(ConfigError, match=r"target must have the shape of the map \(1, 4, 4\)"):
        maps.l1(logits, torch.zeros(1, 8, 8))
    with pytest.raises(ConfigError, match=r"ignore must be a bool tensor \(True = leave out\)"):
        maps.l2(logits, target, ignore=target)
    with pytest.raises(ConfigError, match="gamma must not be negative, got -1"):
        maps.focal(logits, target, gamma=-1)
    with pytest.raises(ConfigError, match=r"alpha must lie in \[0, 1\], got 2"):
        maps.focal(logits, target, alpha=2)
    with pytest.raises(ConfigError, match="smooth must be greater than 0, got 0"):
        maps.dice(logits, target, smooth=0)
