"""Face parsing: which part of a face every pixel shows, learned from label maps.

Validation numbers are on pictures of ``parsing.val_size`` with nothing changed: ``iou/PART`` from
the intersections and unions of all of them, as is usual in segmentation; ``mean_iou`` over the
parts that occur; ``pixel_accuracy``; and the terms of the loss.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tamperscope.face_parsing.parts import PARTS
from tamperscope.losses import parsing as losses
from tamperscope.train.batches import SampleSource, to_network
from tamperscope.train.config import Recipe
from tamperscope.train.tasks.base import Record
from tamperscope.train.tasks.parsing_data import HeldBackFaces, ParsingSource, faces_of


class ParsingTask:
    """The task ``face-parser``; a `tamperscope.train.tasks.base.Task`."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.config = recipe, recipe.parsing

    def source(self, data_root: Path, split: str) -> SampleSource:
        """Labelled faces below ``data_root``."""
        if split == "train":
            faces = faces_of(data_root, self.config, "train")
            return ParsingSource(faces, self.config, seed=self.recipe.run.seed)
        return HeldBackFaces(faces_of(data_root, self.config, "valid"), self.config)

    def network_inputs(
        self, batch: Mapping[str, Any], device: torch.device, channels_last: bool
    ) -> tuple[Tensor, ...]:
        """Images in [-1, 1]."""
        return (to_network(batch, device, channels_last).mul_(2.0).sub_(1.0),)

    def objective(
        self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy, classes weighted by how rare they are in the batch, and soft Dice."""
        logits = outputs["logits"]
        labels = batch["mask"].to(logits.device, non_blocking=True).long()
        counts = torch.bincount(labels.flatten(), minlength=len(PARTS))
        weights = losses.class_weights(counts, self.config.balance)
        terms = {"ce": losses.cross_entropy(logits, labels, weights)}
        loss = terms["ce"]
        if self.config.dice_weight:
            terms["dice"] = losses.soft_dice(logits, labels)
            loss = loss + self.config.dice_weight * terms["dice"]
        return loss, {name: value.detach() for name, value in {"loss": loss, **terms}.items()}

    def numbers(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> list[Record]:
        """Terms of the loss, and per part the pixels that show it, are said to, and both."""
        draws = torch.Generator()
        records: list[Record] = []
        for i, kind in enumerate(batch["kind"]):
            one = {name: value[i : i + 1] for name, value in outputs.items()}
            labels = batch["mask"][i : i + 1]
            _, terms = self.objective(one, {"mask": labels}, draws)
            found = one["logits"][0].argmax(0).cpu()
            record: Record = {"kind": kind, **{name: float(v) for name, v in terms.items()}}
            records.append(record | pixel_counts(found, labels[0].long()))
        return records

    def summarize(self, records: Iterable[Record]) -> dict[str, float]:
        """Means of the loss; the other numbers from the pixels of all pictures together."""
        counts: list[Record] = []
        terms: dict[str, list[float]] = defaultdict(list)
        for record in records:
            counts.append({name: value for name, value in record.items() if "/" in name})
            for name, value in record.items():
                if "/" not in name and not isinstance(value, str):
                    terms[name].append(value)
        means = {name: sum(values) / len(values) for name, values in terms.items()}
        return means | quality(counts)


def quality(counts: Iterable[Record]) -> dict[str, float]:
    """``mean_iou``, ``pixel_accuracy`` and ``iou/PART`` from `pixel_counts` of several pictures."""
    totals: dict[str, float] = defaultdict(float)
    for record in counts:
        for name, value in record.items():
            totals[name] += float(value)
    present = [part for part in PARTS if totals[f"truth/{part}"]]
    right = {part: totals[f"both/{part}"] for part in present}
    of_part = {
        part: right[part] / (totals[f"truth/{part}"] + totals[f"found/{part}"] - right[part])
        for part in present
    }
    return {
        "mean_iou": sum(of_part.values()) / len(present),
        "pixel_accuracy": sum(right.values()) / sum(totals[f"truth/{part}"] for part in present),
        **{f"iou/{part}": value for part, value in of_part.items()},
    }


def pixel_counts(found: Tensor, truth: Tensor) -> Record:
    """How many pixels of a picture show a part, are labelled so, and both.

    Args:
        found, truth: label maps (h, w), int64.
    """
    count = len(PARTS)
    table = torch.bincount((truth * count + found).flatten(), minlength=count * count)
    table = table.view(count, count)
    counts = {"truth": table.sum(1), "found": table.sum(0), "both": table.diagonal()}
    return {
        f"{name}/{part}": float(pixels)
        for name, values in counts.items()
        for part, pixels in zip(PARTS, values.tolist(), strict=True)
    }
