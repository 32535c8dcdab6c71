"""The loss of fakeness maps."""

import pytest
import torch
from torch import Tensor

from tamperscope.errors import ConfigError, UnknownNameError
from tamperscope.losses import maps
from tamperscope.losses.fakelocator import fakeness_loss

TRUTH = torch.tensor([[[0.0, 0.0], [0.2, 0.4]]])
LOGITS = torch.logit(torch.tensor([[[0.1, 0.2], [0.2, 0.1]]]))


def test_l1_and_l2_are_plain_means() -> None:
    assert fakeness_loss(LOGITS, TRUTH).item() == pytest.approx((0.1 + 0.2 + 0 + 0.3) / 4)
    squares = (0.01 + 0.04 + 0 + 0.09) / 4
    assert fakeness_loss(LOGITS, TRUTH, kind="l2").item() == pytest.approx(squares)


def test_the_scale_is_that_of_both_maps() -> None:
    for kind, factor in (("l1", 10), ("l2", 100)):
        plain = fakeness_loss(LOGITS, TRUTH, kind=kind)  # type: ignore[arg-type]
        scaled = fakeness_loss(LOGITS, TRUTH, kind=kind, scale=10)  # type: ignore[arg-type]
        torch.testing.assert_close(scaled, factor * plain)


def test_changed_pixels_get_their_share() -> None:
    unchanged, changed = (0.1 + 0.2) / 2, (0 + 0.3) / 2
    found = fakeness_loss(LOGITS, TRUTH, changed_share=0.8)
    assert found.item() == pytest.approx(0.8 * changed + 0.2 * unchanged)
    real = torch.zeros_like(TRUTH)
    assert fakeness_loss(LOGITS, real, changed_share=0.8).item() == pytest.approx(0.15)
    whole = torch.full_like(TRUTH, 0.1)
    assert fakeness_loss(LOGITS, whole, changed_share=0.8) == fakeness_loss(LOGITS, whole)


def test_dice_and_focal_take_fakeness_for_a_probability() -> None:
    torch.testing.assert_close(
        fakeness_loss(LOGITS, TRUTH, kind="dice", scale=10), maps.dice(LOGITS, TRUTH)
    )
    torch.testing.assert_close(
        fakeness_loss(LOGITS, TRUTH, kind="focal", changed_share=0.5), maps.focal(LOGITS, TRUTH)
    )


@pytest.mark.parametrize("kind", ["l1", "l2", "dice", "focal"])
def test_every_loss_is_least_towards_the_truth(kind: str) -> None:
    def value(logits: Tensor) -> float:
        return fakeness_loss(logits, whole, kind=kind, scale=4.0).item()  # type: ignore[arg-type]

    whole = torch.ones(1, 4, 4)
    away, near = torch.full_like(whole, -2.0), torch.full_like(whole, 2.0)
    assert value(near) < value(away)


def test_low_precision_is_summed_in_full() -> None:
    low = fakeness_loss(LOGITS.bfloat16(), TRUTH, scale=10)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, fakeness_loss(LOGITS.bfloat16().float(), TRUTH, scale=10))
    assert fakeness_loss(LOGITS.double(), TRUTH).dtype == torch.float64


def test_what_cannot_be() -> None:
    with pytest.raises(UnknownNameError, match="unknown loss of a fakeness map 'l3'"):
        fakeness_loss(LOGITS, TRUTH, kind="l3")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="target must have the shape of the map"):
        fakeness_loss(LOGITS, TRUTH[:, :1])
