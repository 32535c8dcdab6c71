import math

import pytest
import torch
from torch import Tensor

from tamperscope.errors import TrainingError
from tamperscope.train.objective import (
    IGNORED,
    area_mean,
    balanced_bce,
    cell_labels,
    dice,
    image_bce,
    training_loss,
)
from tamperscope.train.task_config import LossConfig


def test_cells_take_the_share_of_forged_pixels() -> None:
    mask = torch.zeros(1, 4, 4, dtype=torch.uint8)
    mask[0, :2, :2] = 1
    mask[0, 0, 2] = 1
    means = area_mean(mask, (2, 2))
    assert means.tolist() == [[[1.0, 0.25], [0.0, 0.0]]]
    assert cell_labels(means, ignore_mixed=True).tolist() == [[[1, IGNORED], [0, 0]]]
    assert cell_labels(means, ignore_mixed=False).tolist() == [[[1, 0], [0, 0]]]


def _case() -> tuple[Tensor, Tensor, Tensor]:
    logits = torch.tensor([[[2.0, -1.0], [0.5, -3.0]], [[0.0, 0.0], [0.0, 4.0]]])
    means = torch.tensor([[[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    return logits, means, torch.ones_like(means, dtype=torch.bool)


def _softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_unbalanced_bce_is_the_plain_mean() -> None:
    logits, means, valid = _case()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, means)
    got = balanced_bce(logits, means, valid, balance="none", forged_share=0.5)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_balanced_bce_weighs_the_classes_by_their_share(share: float) -> None:
    logits, means, valid = _case()
    forged = (_softplus(-2.0) + _softplus(1.0)) / 2
    first = (_softplus(0.5) + _softplus(-3.0)) / 2
    second = (3 * _softplus(0.0) + _softplus(4.0)) / 4
    pooled = (2 * first + 4 * second) / 6
    batch = balanced_bce(logits, means, valid, balance="batch", forged_share=share)
    assert batch.item() == pytest.approx(2 * (share * forged + (1 - share) * pooled), rel=1e-6)
    picture = balanced_bce(logits, means, valid, balance="picture", forged_share=share)
    per_picture = (share * forged + (1 - share) * first) + (1 - share) * second
    assert picture.item() == pytest.approx(per_picture, rel=1e-6)


def test_dice_is_small_for_a_perfect_map_and_leaves_authentic_pictures_out() -> None:
    means = torch.zeros(2, 8, 8)
    means[0, :4] = 1.0
    valid = torch.ones_like(means, dtype=torch.bool)
    perfect = (means * 2 - 1) * 20
    assert dice(perfect, means, valid).item() == pytest.approx(0.0, abs=1e-4)
    assert dice(-perfect, means, valid).item() == pytest.approx(1 - 1 / 65, abs=1e-4)
    wild = torch.full_like(means, 20.0)
    assert dice(wild[1:], means[1:], valid[1:]).item() == 0.0


def _outputs(pictures: int = 2) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(pictures, 4, 8, 8, generator=draw)
    evidence = torch.randn(pictures, 1, 8, 8, generator=draw)
    return {"features": features.requires_grad_(), "evidence": evidence.requires_grad_()}


def _masks(pictures: int = 2) -> Tensor:
    masks = torch.zeros(pictures, 32, 32, dtype=torch.uint8)
    masks[:, :16, :16] = 1
    return masks


def test_the_loss_is_the_weighted_sum_of_the_logged_terms() -> None:
    config = LossConfig(contrastive_weight=0.5, bce_weight=2.0, dice_weight=3.0)
    loss, terms = training_loss(_outputs(), _masks(), config, torch.Generator().manual_seed(1))
    assert set(terms) == {"loss", "contrastive", "bce", "dice"}
    expected = 0.5 * terms["contrastive"] + 2.0 * terms["bce"] + 3.0 * terms["dice"]
    torch.testing.assert_close(loss.detach(), expected)
    assert not terms["loss"].requires_grad


def test_the_picture_term_looks_at_the_highest_cells_alone() -> None:
    logits = torch.full((2, 10, 10), -3.0)
    logits[:, 0, :2] = 4.0
    masks = torch.zeros(2, 40, 40, dtype=torch.uint8)
    masks[0, :4, :8] = 1
    found = image_bce(logits, masks, 0.02).item()
    assert found == pytest.approx((_softplus(-4.0) + _softplus(4.0)) / 2)
    assert image_bce(logits, masks, 1e-6).item() == pytest.approx(found)
    mean = (2 * 4.0 + 98 * -3.0) / 100
    everywhere = image_bce(logits, masks, 1.0).item()
    assert everywhere == pytest.approx((_softplus(-mean) + _softplus(mean)) / 2, rel=1e-5)


def test_the_picture_term_is_weighed_and_logged() -> None:
    config = LossConfig(contrastive="none", bce_weight=0.0, image_weight=0.5)
    loss, terms = training_loss(_outputs(), _masks(), config)
    assert set(terms) == {"loss", "image"}
    torch.testing.assert_close(loss.detach(), 0.5 * terms["image"])


@pytest.mark.parametrize("kind", ["info_nce_pp", "soft_contrastive"])
def test_separated_features_have_the_smaller_contrastive_loss(kind: str) -> None:
    config = LossConfig(contrastive=kind, bce_weight=0.0)  # type: ignore[arg-type]
    masks = _masks()
    forged = area_mean(masks, (8, 8))
    separated = torch.stack([forged, 1 - forged], dim=1)
    mixed = torch.stack([forged * 0 + 1, 1 - forged], dim=1)
    good, _ = training_loss({"features": separated}, masks, config)
    bad, _ = training_loss({"features": mixed}, masks, config)
    assert good < bad


def test_a_batch_without_forgeries_still_reaches_every_output() -> None:
    outputs = _outputs()
    loss, _ = training_loss(outputs, _masks() * 0, LossConfig(bce_weight=0.0))
    loss.backward()
    assert loss.item() == 0.0
    for output in outputs.values():
        assert output.grad is not None
        assert not output.grad.any()


def test_an_evidence_term_without_an_evidence_map_is_an_error() -> None:
    with pytest.raises(TrainingError, match=r"no evidence map; set loss\.bce_weight=0"):
        training_loss({"features": torch.randn(1, 4, 8, 8)}, _masks(1), LossConfig())
