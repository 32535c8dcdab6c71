"""FOCAL's task: forgeries made on the fly from ordinary photos, contrastive features and an
evidence map.

All validation numbers are on the network's own feature grid. Cells with a mixed mask (0.1 < area
mean < 0.9) take no part in AUC, F1, IoU and false alarms: their label is a matter of rounding.

``separability`` asks how well the features *could* be clustered: with the true centres of both
classes given, the AUC of the margin (similarity to the forged minus similarity to the pristine
centre). It is an upper bound, not a result: no clustering has to find the centres.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tamperscope.errors import ConfigError
from tamperscope.train.batches import SampleSource, to_network
from tamperscope.train.config import Recipe
from tamperscope.train.objective import area_mean, mixed_cells, training_loss
from tamperscope.train.task_config import LossConfig
from tamperscope.train.tasks.base import Record

_BOTH_CLASSES_ONLY = ("contrastive", "dice")
_PER_KIND = ("separability", "evidence_auc", "evidence_f1", "evidence_iou", "false_alarm")


class ForgeryTask:
    """The task ``focal``; a `tamperscope.train.tasks.base.Task`."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def source(self, data_root: Path, split: str) -> SampleSource:
        """On-the-fly forgeries of the photos below ``data_root``, as ``data.synthesis`` says.

        Raises:
            ConfigError: samples of two sizes would meet in a batch.
        """
        from tamperscope.data.synthesis.dataset import SynthesisDataset, config_from_dict

        recipe, train = self.recipe, split == "train"
        synthesis, batch = config_from_dict(dict(recipe.data.synthesis)), recipe.optim.batch_size
        if synthesis.small and synthesis.same_size % batch:
            raise ConfigError(
                f"data.synthesis.same_size = {synthesis.same_size} does not divide into batches of"
                f" {batch}, which need pictures of one size; set same_size to a multiple of"
                " optim.batch_size"
            )
        length = recipe.schedule.total_samples + recipe.optim.batch_size
        source: SampleSource = SynthesisDataset(
            synthesis,
            split="train" if train else "val",
            root=data_root,
            seed=recipe.run.seed if train else recipe.data.val_seed,
            length=length if train else recipe.data.val_samples,
        )
        return source

    def network_inputs(
        self, batch: Mapping[str, Any], device: torch.device, channels_last: bool
    ) -> tuple[Tensor, ...]:
        """Images in [0, 1]."""
        return (to_network(batch, device, channels_last),)

    def objective(
        self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `tamperscope.train.objective.training_loss`."""
        masks = batch["mask"].to(outputs["features"].device, non_blocking=True)
        return training_loss(outputs, masks, self.recipe.loss, generator)

    def numbers(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> list[Record]:
        """See `picture_numbers`."""
        masks = batch["mask"].to(outputs["features"].device)
        records: list[Record] = []
        for i, kind in enumerate(batch["kind"]):
            one = {name: value[i : i + 1] for name, value in outputs.items()}
            found = picture_numbers(one, masks[i : i + 1], self.recipe.loss)
            records.append({"kind": kind, **found})
        return records

    def summarize(self, records: Iterable[Record]) -> dict[str, float]:
        """See `summarize`."""
        return summarize(records, self.recipe.loss)


def picture_numbers(
    outputs: Mapping[str, Tensor], masks: Tensor, loss: LossConfig
) -> dict[str, float]:
    """Loss terms and quality of one picture: outputs with B = 1, mask (1, H, W)."""
    # The same draws for a picture whenever it is validated, whatever came before it.
    generator = torch.Generator().manual_seed(0)
    _, terms = training_loss(outputs, masks, loss, generator)
    features = outputs["features"]
    labels, valid = _labels(masks, features)
    both = _has_both(labels[valid])
    numbers = {
        name: float(value)
        for name, value in terms.items()
        if name != "loss" and (both or name not in _BOTH_CLASSES_ONLY)
    }
    if both:
        numbers["separability"] = auc(_oracle_margin(features[0], labels, valid), labels[valid])
    if "evidence" in outputs:
        numbers.update(_evidence_numbers(outputs["evidence"], masks))
    return numbers


def summarize(records: Iterable[Record], loss: LossConfig) -> dict[str, float]:
    """Means over the pictures that define each number, overall and per kind (``name/kind``).

    ``loss`` is the weighted sum of the mean terms.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for record in records:
        for name, value in record.items():
            if isinstance(value, str):
                continue
            values[name].append(value)
            if name in _PER_KIND:
                values[f"{name}/{record['kind']}"].append(value)
    means = {name: sum(v) / len(v) for name, v in sorted(values.items())}
    weights = {
        "contrastive": loss.contrastive_weight,
        "bce": loss.bce_weight,
        "dice": loss.dice_weight,
        "image": loss.image_weight,
    }
    return {"loss": sum(w * means.get(name, 0.0) for name, w in weights.items()), **means}


def auc(scores: Tensor, labels: Tensor) -> float:
    """Area under the ROC curve of scores (n,) for bool labels (n,), ties counted half.

    Both classes must be present.
    """
    _, inverse, counts = torch.unique(scores.double(), return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    ranks = (last - (counts - 1) / 2.0)[inverse]
    positives = int(labels.sum())
    negatives = labels.numel() - positives
    above = float(ranks[labels].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def _labels(masks: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
    means = area_mean(masks, (output.shape[-2], output.shape[-1]))[0]
    return means > 0.5, ~mixed_cells(means)


def _has_both(labels: Tensor) -> bool:
    return bool(labels.any()) and not bool(labels.all())


def _oracle_margin(features: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """Margins (n,) of the valid cells of features (C, h, w)."""
    rows = F.normalize(features[:, valid].T, dim=1)
    inside = labels[valid]
    forged = F.normalize(rows[inside].mean(0), dim=0)
    pristine = F.normalize(rows[~inside].mean(0), dim=0)
    return rows @ (forged - pristine)


def _evidence_numbers(evidence: Tensor, masks: Tensor) -> dict[str, float]:
    labels, valid = _labels(masks, evidence)
    truth, logits = labels[valid], evidence[0, 0][valid]
    flagged = logits > 0
    if not truth.any():
        return {"false_alarm": float(flagged.float().mean())} if truth.numel() else {}
    overlap = float((flagged & truth).sum())
    numbers = {
        "evidence_f1": 2 * overlap / float(flagged.sum() + truth.sum()),
        "evidence_iou": overlap / float((flagged | truth).sum()),
    }
    if _has_both(truth):
        numbers["evidence_auc"] = auc(logits, truth)
    return numbers
