"""Losses of a segmentation into parts."""

import pytest
import torch
import torch.nn.functional as F

from tamperscope.errors import ConfigError
from tamperscope.losses.parsing import class_weights, cross_entropy, soft_dice

LOGITS = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 3, (2, 5, 6), generator=torch.Generator().manual_seed(1))


def test_weights_rise_with_rarity_and_keep_the_scale() -> None:
    counts = torch.tensor([80, 15, 5, 0])
    frequency = counts / counts.sum()
    for balance in (0.0, 0.3, 1.0):
        weights = class_weights(counts, balance)
        assert (weights * frequency).sum().item() == pytest.approx(1)
        assert weights[3] == 0
    assert class_weights(counts, 0.0)[:3].tolist() == pytest.approx([1, 1, 1])
    even = class_weights(counts, 1.0) * frequency
    assert even[:3].tolist() == pytest.approx([1 / 3] * 3)
    half = class_weights(counts, 0.5)
    assert (half[2] / half[0]).item() == pytest.approx(4)


def test_cross_entropy_without_weights_is_torch_s() -> None:
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS), F.cross_entropy(LOGITS, LABELS))
    weights = torch.tensor([1.0, 2.0, 3.0, 0.0])
    each = F.cross_entropy(LOGITS, LABELS, reduction="none") * weights[LABELS]
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS, weights), each.mean())


def test_dice_of_right_and_wrong_labels() -> None:
    sure = F.one_hot(LABELS, 4).movedim(-1, 1) * 100.0
    assert soft_dice(sure, LABELS).item() == pytest.approx(0, abs=1e-6)
    sizes = torch.bincount(LABELS.flatten(), minlength=3)
    wrong = F.one_hot((LABELS + 1) % 3, 4).movedim(-1, 1) * 100.0
    dice = [1 / (sizes[c] + sizes[(c - 1) % 3] + 1) for c in range(3)]
    assert soft_dice(wrong, LABELS).item() == pytest.approx(1 - sum(map(float, dice)) / 3)


def test_an_absent_class_does_not_count() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    logits = torch.zeros(1, 2, 4, 4)
    assert soft_dice(logits, labels).item() == pytest.approx(1 - 17 / 25)


def test_labels_must_fit() -> None:
    for loss in (cross_entropy, soft_dice):
        with pytest.raises(ConfigError, match=r"labels must have the .* \(5, 6\), got \(5, 5\)"):
            loss(LOGITS, LABELS[..., :5])
