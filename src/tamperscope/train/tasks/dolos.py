"""DOLOS: fakeness maps of partly generated faces, from image labels or from masks.

Set-ups, objective and validation numbers of Țânțaru, Oneață & Oneață (WACV 2024). Numbers are at
the map's own resolution, with the paper's threshold of one half: ``iou`` and ``pixel_auc`` of fake
pictures, ``false_alarm`` the share of a picture's real cells that are flagged (``false_alarm/real``
for real pictures), and terms of the loss, all means over pictures; ``ap`` of the image score.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from tamperscope.errors import ConfigError
from tamperscope.losses import dolos as losses
from tamperscope.methods.dolos.preprocess import INPUT_SIZE
from tamperscope.metrics import image_level, pixel
from tamperscope.train.batches import SampleSource, to_network
from tamperscope.train.config import Recipe
from tamperscope.train.tasks.base import Record
from tamperscope.train.tasks.dolos_data import (
    DolosSource,
    Geometry,
    HeldBackSource,
    find_pictures,
)
from tamperscope.train.tasks.draws import REAL

_MAP_BLOCK = {"attention": 7, "gradcam": 11}
_PER_KIND = ("iou", "pixel_auc", "false_alarm")


class DolosTask:
    """The task ``dolos``; a `tamperscope.train.tasks.base.Task`.

    Raises:
        ConfigError: a set-up that does not fit the network's supervision, or an objective without
            a term.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.config = recipe, recipe.dolos
        model = recipe.model.config
        self.method = str(model.get("method", "patches"))
        self.weak = model.get("supervision", "full") == "weak"
        if self.weak != (self.config.setup in "AB"):
            wanted = "full" if self.weak else "weak"
            raise ConfigError(
                f"set-up {self.config.setup} does not fit model.config.supervision ="
                f" {'weak' if self.weak else 'full'!r}: A and B train from labels (weak), C from"
                f" masks (full); set model.config.supervision={wanted} or another dolos.setup"
            )
        self.weights = self._term_weights()

    def _term_weights(self) -> dict[str, float]:
        config = self.config
        weights = {"label": config.rho_class, "map": config.rho_localize}
        if self.weak and self.method == "gradcam":
            weights["map"] = 0.0
        if self.weak and self.method == "patches":
            weights["label"] = 0.0
        if not any(weights.values()):
            raise ConfigError(
                f"nothing to learn: {self.method} in set-up {config.setup} has no term with a"
                " weight; set dolos.rho_class or dolos.rho_localize above 0"
            )
        return weights

    def geometry(self) -> Geometry:
        """How pictures and masks are brought to the network."""
        auto: Literal["lanczos", "bilinear"] = (
            "lanczos" if self.weak and self.method != "attention" else "bilinear"
        )
        chosen = self.config.resample
        block = self.recipe.model.config.get("block", 2)
        return Geometry(
            size=self.config.size or INPUT_SIZE,
            blocks=_MAP_BLOCK.get(self.method, cast(int, block)),
            resample=auto if chosen == "auto" else chosen,
            mask_resample="bilinear" if self.method == "attention" else "nearest",
        )

    def source(self, data_root: Path, split: str) -> SampleSource:
        """Pictures of the face set below ``data_root``."""
        train = split == "train"
        groups = find_pictures(data_root, self.config, "train" if train else "valid")
        kind = DolosSource if train else HeldBackSource
        seed = self.recipe.run.seed if train else self.recipe.data.val_seed
        return kind(groups, self.config, self.geometry(), seed=seed)

    def network_inputs(
        self, batch: Mapping[str, Any], device: torch.device, channels_last: bool
    ) -> tuple[Tensor, ...]:
        """Images in [-1, 1]; see `tamperscope.methods.dolos.preprocess.prepare`."""
        return (to_network(batch, device, channels_last).mul_(2.0).sub_(1.0),)

    def objective(
        self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """``rho_class`` x the label term + ``rho_localize`` x the map term."""
        device = next(iter(outputs.values())).device
        labels = torch.tensor([int(kind != REAL) for kind in batch["kind"]], device=device)
        masks = batch["mask"].to(device, non_blocking=True)
        # Data-parallel training waits for a gradient of every weight, also of a head not used.
        loss = sum(
            (o.float().sum() * 0.0 for o in outputs.values()), torch.zeros((), device=device)
        )
        logged = {}
        for name, weight in self.weights.items():
            if weight:
                term = (
                    self._label(outputs, labels)
                    if name == "label"
                    else self._map(outputs, labels, masks)
                )
                loss = loss + weight * term
                logged[name] = term.detach()
        return loss, {"loss": loss.detach(), **logged}

    def _label(self, outputs: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        if "label_logits" in outputs:
            return losses.label_loss(outputs["label_logits"], labels)
        if "map_logits" in outputs:
            return losses.label_loss(losses.pool_average(outputs["map_logits"]), labels)
        raise ConfigError(
            "dolos.rho_class weighs a label term but the network stops at its map;"
            " set model.config.map_only=false or dolos.rho_class=0"
        )

    def _map(self, outputs: Mapping[str, Tensor], labels: Tensor, masks: Tensor) -> Tensor:
        logits = map_of(outputs)
        assert logits is not None
        if not self.weak:
            config = self.config
            return losses.map_loss(
                logits, masks, kind=config.map_loss, balanced=config.balanced_map
            )
        if self.method == "attention":
            return losses.weak_mask_loss(logits, labels)
        return losses.weak_map_loss(logits, labels, pooling=self.config.pooling)

    def numbers(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> list[Record]:
        """Terms of the loss for kinds that training sees, map quality, and the image score."""
        draws = torch.Generator()
        records: list[Record] = []
        for i, kind in enumerate(batch["kind"]):
            one = {name: value[i : i + 1] for name, value in outputs.items()}
            record: Record = {"kind": kind, "score": float(self.raw_score(one)[0])}
            if kind != REAL or self.weak or self.config.reals:
                part = {"kind": [kind], "mask": batch["mask"][i : i + 1]}
                _, terms = self.objective(one, part, draws)
                record |= {name: float(value) for name, value in terms.items()}
            logits = map_of(one)
            if logits is not None:
                record |= _map_numbers(losses.fake_logits(logits)[0], batch["mask"][i].bool())
            records.append(record)
        return records

    def raw_score(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """The image score DOLOS ranks by, (B,): the fake logit where a label was learned, the mean
        of the map otherwise.
        """
        logits = map_of(outputs)
        if "label_logits" in outputs and (self.weights["label"] or logits is None):
            return outputs["label_logits"][:, 1].float()
        assert logits is not None
        return losses.fake_logits(logits).sigmoid().mean((1, 2))

    def summarize(self, records: Iterable[Record]) -> dict[str, float]:
        """Means, per generator too, and ``ap``, the average precision of the image score."""
        values: dict[str, list[float]] = defaultdict(list)
        scores, fake = [], []
        for record in records:
            scores.append(float(record["score"]))
            fake.append(record["kind"] != REAL)
            for name, value in record.items():
                if isinstance(value, str) or name == "score":
                    continue
                values[name].append(value)
                if name in _PER_KIND:
                    values[f"{name}/{record['kind']}"].append(value)
        means = {name: sum(v) / len(v) for name, v in sorted(values.items())}
        if any(fake) and not all(fake):
            means["ap"] = image_level.average_precision(np.array(scores), np.array(fake))
        return means


def map_of(outputs: Mapping[str, Tensor]) -> Tensor | None:
    """Logits of the map, (B, 1 or 2, h, w), or None for a network that has none in its output."""
    return outputs.get("map_logits", outputs.get("mask_logits"))


def _map_numbers(logits: Tensor, truth: Tensor) -> Record:
    """Of one map (h, w) and its true cells."""
    scores, cells = logits.sigmoid().cpu().numpy(), truth.cpu().numpy()
    flagged = scores > 0.5
    numbers: Record = {}
    if not cells.all():
        numbers["false_alarm"] = float(flagged[~cells].mean())
    # A region smaller than a cell can be missing from the grid.
    if cells.any():
        numbers["iou"] = pixel.iou(flagged, cells)
    if cells.any() and not cells.all():
        numbers["pixel_auc"] = pixel.auc(scores, cells)
    return numbers
