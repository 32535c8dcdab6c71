"""FakeLocator: grey-scale fakeness maps of faces, and whether a face is fake at all.

Objective of Huang et al. (IEEE TIFS 2022): L1 between map and fakeness and the cross-entropy of the
label, both with weight 1. Validation numbers, means over pictures: ``coss``, ``psnr`` and ``ssim``
of fakes (psnr in dB, ssim with a Gaussian window), ``mae`` of all, each by kind too
(``coss/nearest/region``); ``accuracy``, the mean of the shares of real and of fake pictures whose
label is right; ``ap`` of the label's probability; and the terms of the loss.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tamperscope.errors import ConfigError
from tamperscope.face_parsing.attention import DEFAULT_WEIGHTS
from tamperscope.losses import dolos as label_losses
from tamperscope.losses.fakelocator import fakeness_loss
from tamperscope.methods.fakelocator.network import INPUT_SIZE
from tamperscope.metrics import image_level, maps
from tamperscope.train.batches import SampleSource, to_network
from tamperscope.train.config import Recipe
from tamperscope.train.tasks.attention import FaceLabels, face_labels
from tamperscope.train.tasks.base import Record
from tamperscope.train.tasks.draws import REAL
from tamperscope.train.tasks.fakelocator_data import (
    FakenessSource,
    HeldBackFakeness,
    find_groups,
)

_PER_KIND = ("coss", "psnr", "ssim", "mae", "accuracy")
_SPLITS = {"train": "train", "val": "valid"}


class FakeLocatorTask:
    """The task ``fakelocator``; a `tamperscope.train.tasks.base.Task`.

    Raises:
        ConfigError: a network that looks at an attention map, and nothing to make it from.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.config = recipe, recipe.fakelocator
        self.attention_weights = _attention_weights(recipe.model.config)
        if self.attention_weights and not (self.config.labels or self.config.parser):
            raise ConfigError(
                "the network looks at an attention map: set fakelocator.labels to a folder of"
                " labelled faces or fakelocator.parser to a face parser, or"
                " model.config.attention=none"
            )
        self.weights = {"label": self.config.rho_class, "map": self.config.rho_localize}

    @property
    def size(self) -> int:
        """Side in pixels of whole pictures."""
        return self.config.size or INPUT_SIZE

    def source(self, data_root: Path, split: str) -> SampleSource:
        """Pictures of the face set below ``data_root``."""
        groups = find_groups(data_root, self.config, _SPLITS[split])
        labels = self._labels(data_root)
        if labels is not None:
            labels.check(pair for pairs in groups.values() for pair in pairs)
        kind = FakenessSource if split == "train" else HeldBackFakeness
        seed = self.recipe.run.seed if split == "train" else self.recipe.data.val_seed
        return kind(groups, self.config, size=self.size, labels=labels, seed=seed)

    def _labels(self, data_root: Path) -> FaceLabels | None:
        if not self.attention_weights:
            return None
        folder = data_root / self.config.labels if self.config.labels else None
        return face_labels(self.attention_weights, labels=folder, parser=self.config.parser)

    def network_inputs(
        self, batch: Mapping[str, Any], device: torch.device, channels_last: bool
    ) -> tuple[Tensor, ...]:
        """Images in [-1, 1], and the attention map where the network looks at one."""
        images = to_network(batch, device, channels_last).mul_(2.0).sub_(1.0)
        if not self.attention_weights:
            return (images,)
        return images, batch["attention"].to(device, non_blocking=True)

    def objective(
        self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """``rho_class`` x the label term + ``rho_localize`` x the map term."""
        device = outputs["map_logits"].device
        # Data-parallel training waits for a gradient of every weight, also of a head not used.
        loss = sum(
            (o.float().sum() * 0.0 for o in outputs.values()), torch.zeros((), device=device)
        )
        logged = {}
        for name, weight in self.weights.items():
            if weight:
                term = (self._label if name == "label" else self._map)(outputs, batch)
                loss = loss + weight * term
                logged[name] = term.detach()
        return loss, {"loss": loss.detach(), **logged}

    def _label(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> Tensor:
        logits = outputs["label_logits"]
        labels = torch.tensor([int(kind != REAL) for kind in batch["kind"]], device=logits.device)
        return label_losses.label_loss(logits, labels)

    def _map(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> Tensor:
        logits, config = outputs["map_logits"][:, 0], self.config
        return fakeness_loss(
            logits,
            batch["mask"].to(logits.device, non_blocking=True),
            kind=config.map_loss,
            scale=config.map_scale,
            changed_share=config.changed_share,
        )

    def numbers(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> list[Record]:
        """Terms of the loss, map quality, and the label."""
        draws = torch.Generator()
        records: list[Record] = []
        for i, kind in enumerate(batch["kind"]):
            one = {name: value[i : i + 1] for name, value in outputs.items()}
            truth = batch["mask"][i : i + 1]
            _, terms = self.objective(one, {"kind": [kind], "mask": truth}, draws)
            fake = one["label_logits"][0].softmax(0)[1].item()
            record: Record = {"kind": kind, **{name: float(v) for name, v in terms.items()}}
            record |= {"score": fake, "accuracy": float((fake > 0.5) == (kind != REAL))}
            found = one["map_logits"][0, 0].sigmoid().cpu().numpy()
            records.append(record | _map_numbers(found, truth[0].numpy()))
        return records

    def summarize(self, records: Iterable[Record]) -> dict[str, float]:
        """Means, per kind too; ``accuracy`` weighs real and fake pictures alike."""
        values: dict[str, list[float]] = defaultdict(list)
        right: dict[bool, list[float]] = defaultdict(list)
        scores, fake = [], []
        for record in records:
            scores.append(float(record["score"]))
            fake.append(record["kind"] != REAL)
            right[fake[-1]].append(float(record["accuracy"]))
            for name, value in record.items():
                if isinstance(value, str) or name == "score":
                    continue
                values[name].append(value)
                if name in _PER_KIND:
                    values[f"{name}/{record['kind']}"].append(value)
        means = {name: sum(v) / len(v) for name, v in sorted(values.items())}
        means["accuracy"] = sum(sum(v) / len(v) for v in right.values()) / len(right)
        if any(fake) and not all(fake):
            means["ap"] = image_level.average_precision(np.array(scores), np.array(fake))
        return means


def _map_numbers(found: Any, truth: Any) -> Record:
    """Of one map (h, w) and its fakeness."""
    numbers: Record = {"mae": maps.mae(found, truth)}
    # The map of a real picture is zero: its COSS is all or nothing, its PSNR without an upper end.
    if truth.any():
        numbers |= {
            "coss": maps.coss(found, truth),
            "psnr": maps.psnr(found, truth),
            "ssim": maps.ssim(found, truth),
        }
    return numbers


def _attention_weights(options: Mapping[str, Any]) -> Mapping[str, float]:
    """Part -> weight of the network's attention, as it would choose them; empty without one."""
    if options.get("attention", "parts") == "none":
        return {}
    weights: Mapping[str, float] = options.get("attention_weights", DEFAULT_WEIGHTS)
    return weights
