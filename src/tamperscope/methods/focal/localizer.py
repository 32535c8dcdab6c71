"""FOCAL, ready to run: `build` makes a localizer from the catalogue's options."""

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tamperscope.clustering.postprocess import resize_map, resize_mask
from tamperscope.engines import Engine, Graph
from tamperscope.errors import ConfigError, WeightsNotFoundError
from tamperscope.image import DEFAULT_MAX_PIXELS, Image, ImageSource, read_image
from tamperscope.localizer import MethodCard
from tamperscope.methods.base import BaseLocalizer, WeightsChoice, run_by, weights_name
from tamperscope.methods.common import choose_device, choose_dtype
from tamperscope.methods.focal.config import SHIPPED_PRESETS, FocalConfig, resolve
from tamperscope.methods.focal.decision import Calibration, Decision, check_evidence, decide
from tamperscope.methods.focal.features import FeatureMaps, Seen, extract, seen
from tamperscope.methods.focal.graph import graph_of
from tamperscope.methods.focal.network import FocalNetwork, network_for
from tamperscope.provenance import Stopwatch
from tamperscope.result import Localization, MapKind
from tamperscope.weights import LoadedWeights

_LIKELY = 0.8
"""The confidence from which a copy is named in a result's notes."""

DEFAULT_WEIGHTS = "focal-compact"


class FocalLocalizer(BaseLocalizer):
    """Implements `tamperscope.Localizer`."""

    def __init__(
        self,
        card: MethodCard,
        networks: Sequence[FocalNetwork],
        weights: Sequence[LoadedWeights],
        config: FocalConfig,
        *,
        preset: str = "default",
        calibration: Calibration | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        engine: Engine | None = None,
    ) -> None:
        check_evidence(config, any(n.evidence is not None for n in networks))
        # A clustering without evidence has a similarity for a map, whatever the default's map is.
        kind = card.map_kind if config.clustering == "seeded" else MapKind.CLUSTER_SIMILARITY
        super().__init__(
            replace(card, map_kind=kind),
            _named(weights),
            preset=preset,
            device=device,
            dtype=dtype,
            max_pixels=max_pixels,
            engine=engine,
        )
        self._networks = [n.eval().to(self._device) for n in networks]
        if self._device.type != "mps":
            for network in self._networks:
                network.to(memory_format=torch.channels_last)
        self._config = config
        self._calibration = calibration or Calibration()

    def localize(self, source: ImageSource, *, id: str | None = None) -> Localization:
        """See `tamperscope.Localizer.localize`."""
        watch = Stopwatch()
        with watch.stage("decode"):
            image = read_image(source, max_pixels=self._max_pixels, id=id)
        with watch.stage("features"):
            seen = self._seen(image)
            maps = self._maps(seen.pixels)
        with watch.stage("clustering"):
            decision = decide(maps, self._config, self._calibration, device=self._device)
        with watch.stage("upsampling"):
            scores, mask = self._to_picture(decision, image.size, seen)
        notes = {**decision.trace, "feature_grid": list(decision.scores.shape), **seen.notes()}
        if pairs := self._pairs(maps, image.size, seen):
            notes["copied"] = pairs
        return Localization(
            score_map=scores,
            map_kind=decision.kind,
            mask=mask,
            threshold=decision.threshold,
            image_score=decision.image_score,
            provenance=self._provenance(image, watch, notes, seed=self._config.seed),
        )

    @property
    def calibration(self) -> Calibration:
        """What turns maps into decisions, of the weights card."""
        return self._calibration

    def feature_maps(self, source: ImageSource) -> FeatureMaps:
        """What the networks say of a picture, before any decision."""
        return self._maps(self._seen(read_image(source, max_pixels=self._max_pixels)).pixels)

    def _seen(self, image: Image) -> Seen:
        return seen(image.pixels, self._config, blocks=image.block_offset)

    def _maps(self, pixels: NDArray[np.uint8]) -> FeatureMaps:
        return extract(self._networks, pixels, self._config, device=self._device, dtype=self._dtype)

    def _settings(self) -> dict[str, Any]:
        return {
            "preset": self._preset,
            "networks": list(self._weights),
            **asdict(self._config),
            "calibration": asdict(self._calibration),
        }

    def _pairs(self, maps: FeatureMaps, size: tuple[int, int], shown: Seen) -> list[dict[str, Any]]:
        """Likely copies as boxes (left, top, right, bottom) in the picture's pixels."""
        if maps.copies is None:
            return []
        (top, left), (rows, columns) = shown.offset, maps.copies.shape[-2:]
        covered = self._covered((rows, columns), size, shown)
        pairs = []
        for places in maps.copies:
            sure = float(places.max())
            if sure < _LIKELY:
                continue
            boxes = []
            for place in places:
                y, x = torch.nonzero(place > sure / 2, as_tuple=True)
                if not len(y):
                    break
                v = [round(float(n) * covered[0] / rows) + top for n in (y.min(), y.max() + 1)]
                h = [round(float(n) * covered[1] / columns) + left for n in (x.min(), x.max() + 1)]
                bottom, right = min(v[1], size[0]), min(h[1], size[1])
                boxes.append([h[0], v[0], right, bottom])
            if len(boxes) == 2:
                pairs.append({"confidence": round(sure, 3), "boxes": boxes})
        return pairs

    def _covered(
        self, grid: tuple[int, int], size: tuple[int, int], shown: Seen
    ) -> tuple[int, int]:
        """How many of the picture's rows and columns a grid covers; the last cells may reach beyond
        the picture.
        """
        h, w = size[0] - shown.offset[0], size[1] - shown.offset[1]
        sides = self._config.sides(shown.pixels.shape)
        stride = self._networks[0].stride
        rows, columns = (
            -(-n * cells * stride // side)
            for n, cells, side in zip((h, w), grid, sides, strict=True)
        )
        return rows, columns

    def _to_picture(
        self, decision: Decision, size: tuple[int, int], shown: Seen
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        top, left = shown.offset
        h, w = size[0] - top, size[1] - left
        # Scale what the cells cover, then cut.
        grid = (decision.scores.shape[0], decision.scores.shape[1])
        target = self._covered(grid, size, shown)
        scores = resize_map(decision.scores, target)[:h, :w]
        mask = resize_mask(decision.mask, target, method=self._config.upsampling)[:h, :w]
        # The few rows and columns before the first block are like their neighbours.
        before = ((top, 0), (left, 0))
        return np.pad(scores, before, "edge"), np.pad(mask, before, "edge")


def build(
    card: MethodCard,
    *,
    preset: str,
    weights: WeightsChoice,
    device: str,
    precision: str,
    max_pixels: int,
    options: dict[str, Any],
    engine: Engine | None = None,
) -> FocalLocalizer:
    """A localizer as `tamperscope.load` asks for it.

    Raises:
        ConfigError: a setting that does not exist or cannot be.
        WeightsError: weights that cannot be found or used.
    """
    config = resolve(preset, options)
    names = _weight_names(weights, preset)
    pairs = [network_for(name) for name in names]
    networks, loaded = [_run(engine, *pair, config) for pair in pairs], [p[1] for p in pairs]
    target = choose_device(device)
    calibrations = [
        Calibration.from_card(w.card.decision, weights_name(w))
        for w in loaded
        if w.card is not None and w.card.decision
    ]
    return FocalLocalizer(
        card,
        networks,
        loaded,
        config,
        preset=preset,
        # Fusion mixes networks; the first calibrated one speaks for all, as it fixes the grid.
        calibration=calibrations[0] if calibrations else None,
        device=target,
        dtype=choose_dtype(precision, target),
        max_pixels=max_pixels,
        engine=engine,
    )


def _run(
    engine: Engine | None, network: FocalNetwork, weights: LoadedWeights, config: FocalConfig
) -> FocalNetwork:
    def graph() -> Graph:
        return graph_of(network, side=config.square_size)

    return run_by(engine, graph, network, weights)


def _weight_names(weights: WeightsChoice, preset: str) -> list[str | os.PathLike[str]]:
    if weights is None:
        if preset not in SHIPPED_PRESETS:
            raise WeightsNotFoundError(
                f"preset {preset!r} needs the published weights, which do not ship: download "
                "FOCAL_ViT_weights.pth and FOCAL_HRNet_weights.pth as the FOCAL repository says "
                "and give one or both with weights= (or --weights A,B)"
            )
        return [DEFAULT_WEIGHTS]
    names: list[str | os.PathLike[str]]
    if isinstance(weights, os.PathLike) or (isinstance(weights, str) and Path(weights).is_file()):
        names = [weights]
    elif isinstance(weights, str):
        names = [w.strip() for w in weights.split(",") if w.strip()]
    else:
        names = list(weights)
    if not names:
        raise ConfigError("no weights named: give a name or a file, or leave weights out")
    return names


def _named(weights: Sequence[LoadedWeights]) -> dict[str, str]:
    """The sha256 of each by its name, in the order of fusion; equal names get a number."""
    named: dict[str, str] = {}
    for one in weights:
        name, number = weights_name(one), 1
        while name in named:
            number += 1
            name = f"{weights_name(one)} ({number})"
        named[name] = one.sha256
    return named
