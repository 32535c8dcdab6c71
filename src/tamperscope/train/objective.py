"""The training loss: a contrastive term on the features and two terms on the evidence map."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from tamperscope.errors import TrainingError
from tamperscope.losses.contrastive import info_nce_pp, soft_contrastive
from tamperscope.train.task_config import LossConfig

IGNORED = 255
MIXED = (0.1, 0.9)


def area_mean(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Share of forged pixels in each cell: (B, H, W) of 0/1 -> (B, h, w) float32 in [0, 1]."""
    return F.adaptive_avg_pool2d(masks.float()[:, None], grid)[:, 0]


def mixed_cells(means: Tensor) -> Tensor:
    """Cells that are neither clearly pristine nor clearly forged, bool like ``means``."""
    return (means > MIXED[0]) & (means < MIXED[1])


def cell_labels(means: Tensor, *, ignore_mixed: bool) -> Tensor:
    """Hard labels of the contrastive term: 1 above an area mean of 0.5, 255 where ignored."""
    labels = (means > 0.5).to(torch.uint8)
    return labels.masked_fill(mixed_cells(means), IGNORED) if ignore_mixed else labels


def balanced_bce(
    logits: Tensor, means: Tensor, valid: Tensor, *, balance: str, forged_share: float
) -> Tensor:
    """Binary cross-entropy with logits against soft targets, with the classes balanced.

    Args:
        logits: (B, h, w), positive = forged.
        means: (B, h, w) targets in [0, 1].
        valid: (B, h, w) bool, cells that count.
        balance: ``none``, ``batch`` or ``picture`` (see :class:`LossConfig`).
        forged_share: weight of the forged part against the pristine part. Where one of them is
            absent the other keeps its own weight only: an authentic picture counts with
            ``1 - forged_share``.

    Returns:
        A scalar >= 0; the balanced forms are doubled, so that at ``forged_share = 0.5`` either
        class weighs as much as it does in ``none`` on a picture of that class alone.
    """
    forged = means * valid
    pristine = (1.0 - means) * valid
    loss_forged, loss_pristine = forged * F.softplus(-logits), pristine * F.softplus(logits)
    if balance == "none":
        return (loss_forged + loss_pristine).sum() / valid.sum().clamp(min=1)
    dims = (1, 2) if balance == "picture" else (0, 1, 2)
    part_forged = loss_forged.sum(dims) / forged.sum(dims).clamp(min=1.0)
    part_pristine = loss_pristine.sum(dims) / pristine.sum(dims).clamp(min=1.0)
    return 2.0 * (forged_share * part_forged + (1.0 - forged_share) * part_pristine).mean()


def dice(logits: Tensor, means: Tensor, valid: Tensor) -> Tensor:
    """Soft Dice loss in [0, 1], mean over pictures with a forged cell; 0 when there is none.

    A picture without forged cells has no overlap to speak of: its Dice is 1 whatever the map.
    """
    has_forged = ((means > 0.5) & valid).flatten(1).any(1)
    probability, target = torch.sigmoid(logits) * valid, means * valid
    overlap = (probability * target).sum((1, 2))
    sizes = probability.sum((1, 2)) + target.sum((1, 2))
    losses = 1.0 - (2.0 * overlap + 1.0) / (sizes + 1.0)
    return (losses * has_forged).sum() / has_forged.sum().clamp(min=1)


def image_bce(logits: Tensor, masks: Tensor, top: float) -> Tensor:
    """Binary cross-entropy of the label of each picture on the mean of its highest cells.

    Args:
        logits: (B, h, w), positive = forged.
        masks: (B, H, W) of 0/1; a picture with any forged pixel is forged.
        top: share of the cells that count, at least one cell.

    Returns:
        A scalar >= 0, mean over the batch.
    """
    flat = logits.flatten(1)
    count = max(1, round(top * flat.shape[1]))
    scores = flat.topk(count, dim=1).values.mean(1)
    labels = masks.flatten(1).any(1).to(scores.dtype)
    return F.binary_cross_entropy_with_logits(scores, labels)


def training_loss(
    outputs: Mapping[str, Tensor],
    masks: Tensor,
    config: LossConfig,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of the terms and each term by itself.

    Args:
        outputs: ``features`` (B, C, h, w), any scale, and optionally ``evidence`` (B, 1, h, w)
            logits.
        masks: (B, H, W) uint8, 1 = forged.
        config: which terms, with which weights.
        generator: of the contrastive draws (CPU).

    Returns:
        The loss, attached to every output even when no term uses it, and ``{name: detached
        scalar}`` with ``loss`` and each unweighted term.

    Raises:
        TrainingError: the recipe wants an evidence term and the network gives no evidence map.
    """
    features = outputs["features"].float()
    terms: dict[str, tuple[float, Tensor]] = {}
    if config.contrastive != "none" and config.contrastive_weight:
        terms["contrastive"] = (
            config.contrastive_weight,
            _contrastive(features, masks, config, generator),
        )
    evidence = outputs.get("evidence")
    if config.bce_weight or config.dice_weight or config.image_weight:
        if evidence is None:
            raise TrainingError(
                "the recipe weighs an evidence term but the network has no evidence map;"
                " set loss.bce_weight=0, loss.dice_weight=0 and loss.image_weight=0, or turn the"
                " evidence head on"
            )
        terms.update(_evidence_terms(evidence, masks, config))
    # Data-parallel training waits for a gradient of every weight, also in a batch without
    # forgeries.
    loss = sum(
        (o.float().sum() * 0.0 for o in outputs.values()), torch.zeros((), device=masks.device)
    )
    for weight, value in terms.values():
        loss = loss + weight * value
    logged = {name: value.detach() for name, (_, value) in terms.items()}
    return loss, {"loss": loss.detach(), **logged}


def _contrastive(
    features: Tensor, masks: Tensor, config: LossConfig, generator: torch.Generator | None
) -> Tensor:
    means = area_mean(masks, (features.shape[-2], features.shape[-1]))
    labels = cell_labels(means, ignore_mixed=config.ignore_mixed)
    if config.contrastive == "soft_contrastive":
        return soft_contrastive(
            features, labels, temperature=config.temperature, rho=config.rho, iters=config.iters
        )
    return info_nce_pp(
        features,
        labels,
        temperature=config.temperature,
        variant=config.variant,
        metric=config.metric,
        max_samples=config.max_samples,
        symmetric=config.symmetric,
        generator=generator,
    )


def _evidence_terms(
    evidence: Tensor, masks: Tensor, config: LossConfig
) -> dict[str, tuple[float, Tensor]]:
    logits = evidence.float()[:, 0]
    means = area_mean(masks, (logits.shape[-2], logits.shape[-1]))
    valid = ~mixed_cells(means) if config.ignore_mixed else torch.ones_like(means, dtype=torch.bool)
    terms = {}
    if config.bce_weight:
        value = balanced_bce(
            logits, means, valid, balance=config.balance, forged_share=config.forged_share
        )
        terms["bce"] = (config.bce_weight, value)
    if config.dice_weight:
        terms["dice"] = (config.dice_weight, dice(logits, means, valid))
    if config.image_weight:
        terms["image"] = (config.image_weight, image_bce(logits, masks, config.image_top))
    return terms
