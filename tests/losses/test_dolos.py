"""Losses of DOLOS against the official code (dolos_patches, dolos_attention) and by hand."""

import json
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reference import recipe
from tamperscope.errors import ConfigError, UnknownNameError
from tamperscope.losses import dolos


def _arrays(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    arrays = np.load(recipe.FOLDER / f"{name}.npz")
    numbers = json.loads((recipe.FOLDER / f"{name}.json").read_text())
    return {k: torch.from_numpy(v) for k, v in arrays.items()}, numbers


PATCHES, PATCHES_NUMBERS = _arrays("dolos_patches")
ATTENTION, ATTENTION_NUMBERS = _arrays("dolos_attention")
LABELS = torch.tensor([0, 1])
MAP = PATCHES["logits_block2"]
MASK_LOGITS = torch.logit(ATTENTION["mask"].double())


# --------------------------------------------------------------------------- official numbers


def test_poolings_are_the_official_ones() -> None:
    expected = PATCHES["weak_pred_pooled_max"], PATCHES["weak_pred_pooled_avg"]
    torch.testing.assert_close(dolos.pool_max(MAP), expected[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dolos.pool_average(MAP), expected[1], rtol=1e-5, atol=1e-5)


def test_top_pooling_lies_between_the_largest_and_the_mean() -> None:
    margin = MAP[:, 1] - MAP[:, 0]
    top = round(dolos.TOP_SHARE * 37 * 37)
    pooled = dolos.pool_top(MAP)
    expected = margin.flatten(1).sort(1, descending=True).values[:, :top].mean(1)
    torch.testing.assert_close(pooled[:, 1] - pooled[:, 0], expected)
    one = MAP[:, :, :3, :3]
    torch.testing.assert_close(dolos.pool_top(one), dolos.pool_max(one))


@pytest.mark.parametrize(
    ("pooling", "name"), [("expand", "expand"), ("max", "pooled_max"), ("avg", "pooled_avg")]
)
def test_weak_losses_are_the_official_ones(pooling: Any, name: str) -> None:
    loss = dolos.weak_map_loss(MAP, LABELS, pooling=pooling)
    assert float(loss) == pytest.approx(PATCHES_NUMBERS[f"weak_loss_{name}"], rel=1e-5)


@pytest.mark.parametrize("kind", ["ce", "bce"])
def test_the_full_loss_of_patches_is_the_official_one(kind: Any) -> None:
    loss = dolos.map_loss(MAP, PATCHES["mask37"], kind=kind)
    assert float(loss) == pytest.approx(PATCHES_NUMBERS["full_loss_ce"], rel=1e-5)


def test_the_losses_of_attention_are_the_official_ones() -> None:
    logits, truth = ATTENTION["label_logits"].double(), ATTENTION["gt_mask"][:, 0]
    values = {
        "loss_label": dolos.label_loss(logits, LABELS),
        "loss_mask": dolos.weak_mask_loss(MASK_LOGITS, LABELS),
        "loss_total_lambda1": dolos.attention_weak(logits, MASK_LOGITS, LABELS),
        "full_bce": dolos.attention_full(MASK_LOGITS, truth),
        "ffd_l1_supervised": dolos.map_loss(MASK_LOGITS, truth, kind="l1"),
    }
    for name, value in values.items():
        assert float(value) == pytest.approx(ATTENTION_NUMBERS[name], rel=1e-5), name


# --------------------------------------------------------------------------- by hand


def test_fake_logits_have_the_softmax_s_probability() -> None:
    torch.testing.assert_close(
        dolos.fake_logits(MAP).sigmoid(), PATCHES["prob_block2"], rtol=1e-5, atol=1e-6
    )
    assert dolos.fake_logits(MASK_LOGITS).shape == (2, 19, 19)


def test_weight_and_rho_scale_their_term_alone() -> None:
    logits = ATTENTION["label_logits"]
    label, mask = (
        dolos.label_loss(logits, LABELS),
        dolos.weak_mask_loss(MASK_LOGITS, LABELS),
    )
    half = dolos.attention_weak(logits, MASK_LOGITS, LABELS, weight=0.5)
    torch.testing.assert_close(half, label + 0.5 * mask)
    both = dolos.combined(label, mask, rho_class=2.0, rho_localize=0.25)
    torch.testing.assert_close(both, 2.0 * label + 0.25 * mask)


def test_the_other_map_losses() -> None:
    probability, truth = dolos.fake_logits(MAP).sigmoid(), PATCHES["mask37"].float()
    gap = (probability - truth).abs()
    torch.testing.assert_close(dolos.map_loss(MAP, truth, kind="l1"), gap.mean())
    torch.testing.assert_close(dolos.map_loss(MAP, truth, kind="l2"), gap.square().mean())
    cross = -(1 - gap).log()
    torch.testing.assert_close(
        dolos.map_loss(MAP, truth, kind="focal", gamma=1.5), (gap**1.5 * cross).mean()
    )
    overlap = 2 * (probability * truth).sum((1, 2)) + 1
    sizes = (probability**2).sum((1, 2)) + truth.sum((1, 2)) + 1
    torch.testing.assert_close(
        dolos.map_loss(MAP, truth, kind="dice"), (1 - overlap / sizes).mean()
    )


def test_balanced_cross_entropy_is_the_mean_of_both_classes() -> None:
    truth = torch.zeros(2, 37, 37)
    truth[:, :3, :3] = 1
    cross = F.binary_cross_entropy_with_logits(dolos.fake_logits(MAP), truth, reduction="none")
    expected = (cross[truth == 1].mean() + cross[truth == 0].mean()) / 2
    torch.testing.assert_close(dolos.map_loss(MAP, truth, balanced=True), expected)


def test_gradients_reach_only_what_a_pooling_looks_at() -> None:
    logits = MAP.clone().requires_grad_()
    dolos.weak_map_loss(logits, LABELS, pooling="max").backward()
    assert logits.grad is not None
    assert int((logits.grad != 0).any(1).sum()) == 2
    top = round(dolos.TOP_SHARE * 37 * 37)
    for pooling, places in (("expand", 37 * 37), ("avg", 37 * 37), ("top", top)):
        logits.grad = None
        dolos.weak_map_loss(logits, LABELS, pooling=pooling).backward()  # type: ignore[arg-type]
        assert int((logits.grad != 0).any(1).sum()) == 2 * places


def test_half_precision_is_summed_in_single() -> None:
    half = MAP.bfloat16()
    for loss in (
        dolos.weak_map_loss(half, LABELS),
        dolos.map_loss(half, PATCHES["mask37"]),
        dolos.weak_mask_loss(half[:, :1], LABELS),
        dolos.label_loss(half[..., 0, 0], LABELS),
    ):
        assert loss.dtype == torch.float32


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ConfigError, match=r"map logits must be .* got \(2, 3, 4, 4\)"):
        dolos.fake_logits(torch.zeros(2, 3, 4, 4))
    with pytest.raises(ConfigError, match=r"trained from labels needs logits \(B, 2, h, w\)"):
        dolos.weak_map_loss(torch.zeros(2, 1, 4, 4), LABELS)
    with pytest.raises(ConfigError, match=r"labels must be whole numbers \(2,\)"):
        dolos.weak_map_loss(MAP, LABELS.float())
    with pytest.raises(ConfigError, match=r"labels must be whole numbers \(2,\), 1 = fake; got"):
        dolos.weak_mask_loss(MASK_LOGITS, LABELS[:1])
    with pytest.raises(ConfigError, match="only cross-entropy can be balanced, not dice"):
        dolos.map_loss(MAP, PATCHES["mask37"], kind="dice", balanced=True)
    with pytest.raises(UnknownNameError, match="unknown map loss 'dise'; did you mean 'dice'"):
        dolos.map_loss(MAP, PATCHES["mask37"], kind="dise")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="unknown pooling 'mean'"):
        dolos.weak_map_loss(MAP, LABELS, pooling="mean")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="resize it to the map's grid first"):
        dolos.map_loss(MAP, torch.zeros(2, 19, 19))
