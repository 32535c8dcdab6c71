"""FOCAL, ready to run: `build` makes a localizer from the catalogue's options."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tamperscope.clustering.postprocess import resize_map, resize_mask
from tamperscope.errors import ConfigError, ImageError, WeightsNotFoundError
from tamperscope.image import DEFAULT_MAX_PIXELS, Image, ImageSource, read_image
from tamperscope.localizer import MethodCard
from tamperscope.methods.focal.config import FocalConfig, resolve
from tamperscope.methods.focal.decision import Calibration, Decision, decide
from tamperscope.methods.focal.features import extract
from tamperscope.methods.focal.network import FocalNetwork, network_for
from tamperscope.provenance import JSON, Provenance, Stopwatch, json_safe, tool_commit, tool_version
from tamperscope.result import Localization
from tamperscope.weights import LoadedWeights

DEFAULT_WEIGHTS = "focal-compact"


class FocalLocalizer:
    """Implements `tamperscope.Localizer`. Pictures run one by one, so company never changes a
    result.
    """

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
    ) -> None:
        self._card = card
        self._device = device or torch.device("cpu")
        self._networks = [n.eval().to(self._device) for n in networks]
        if self._device.type != "mps":
            for network in self._networks:
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._weights = {_name(w): w.sha256 for w in weights}
        self._config = config
        self._preset = preset
        self._calibration = calibration or Calibration()
        self._dtype = dtype
        self._max_pixels = max_pixels

    @property
    def card(self) -> MethodCard:
        """The method's card."""
        return self._card

    def localize(self, source: ImageSource, *, id: str | None = None) -> Localization:
        """See `tamperscope.Localizer.localize`."""
        watch = Stopwatch()
        with watch.stage("decode"):
            image = read_image(source, max_pixels=self._max_pixels, id=id)
        with watch.stage("features"):
            maps = extract(
                self._networks, image.pixels, self._config, device=self._device, dtype=self._dtype
            )
        with watch.stage("clustering"):
            decision = decide(maps, self._config, self._calibration)
        with watch.stage("upsampling"):
            scores, mask = self._to_picture(decision, image.size)
        return Localization(
            score_map=scores,
            map_kind=decision.kind,
            mask=mask,
            threshold=decision.threshold,
            image_score=decision.image_score,
            provenance=self._provenance(image, watch, decision),
        )

    def localize_batch(self, sources: Sequence[ImageSource]) -> list[Localization]:
        """See `tamperscope.Localizer.localize_batch`."""
        results = []
        for i, source in enumerate(sources):
            try:
                results.append(self.localize(source))
            except ImageError as error:
                raise type(error)(f"picture {i + 1} of {len(sources)}: {error}") from error
        return results

    def describe(self) -> dict[str, JSON]:
        """See `tamperscope.Localizer.describe`."""
        described = json_safe(
            {
                "method": self._card.name,
                "version": tool_version(),
                "config": self._resolved(),
                "weights": self._weights,
                "device": str(self._device),
                "precision": _precision_name(self._dtype),
            }
        )
        assert isinstance(described, dict)
        return described

    def _resolved(self) -> dict[str, Any]:
        return {
            "preset": self._preset,
            **asdict(self._config),
            "calibration": asdict(self._calibration),
        }

    def _to_picture(
        self, decision: Decision, size: tuple[int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        scores = resize_map(decision.scores, size)
        return scores, resize_mask(decision.mask, size, method=self._config.upsampling)

    def _provenance(self, image: Image, watch: Stopwatch, decision: Decision) -> Provenance:
        return Provenance(
            version=tool_version(),
            commit=tool_commit(),
            method=self._card.name,
            config=self._resolved(),
            weights=self._weights,
            device=str(self._device),
            precision=_precision_name(self._dtype),
            seed=self._config.seed,
            seconds=watch.seconds,
            input_id=image.id,
            input_sha256=image.sha256,
            input_size=image.size,
            notes=decision.trace,
        )


def build(
    card: MethodCard,
    *,
    preset: str,
    weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None,
    device: str,
    precision: str,
    max_pixels: int,
    options: dict[str, Any],
) -> FocalLocalizer:
    """A localizer as `tamperscope.load` asks for it.

    Raises:
        ConfigError: a setting that does not exist or cannot be.
        WeightsError: weights that cannot be found or used.
    """
    config = resolve(preset, options)
    names = _weight_names(weights, preset)
    pairs = [network_for(name) for name in names]
    networks, loaded = [p[0] for p in pairs], [p[1] for p in pairs]
    target = _device(device)
    calibrations = [
        Calibration.from_card(w.card.decision, str(_name(w)))
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
        dtype=_dtype(precision, target),
        max_pixels=max_pixels,
    )


def _weight_names(
    weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None, preset: str
) -> list[str | os.PathLike[str]]:
    if weights is None:
        if preset != "default":
            raise WeightsNotFoundError(
                f"preset {preset!r} needs the published weights, which do not ship: download FOCAL_ViT_weights.pth and "
                "FOCAL_HRNet_weights.pth as the FOCAL repository says and give them with weights= (or --weights)"
            )
        return [DEFAULT_WEIGHTS]
    if isinstance(weights, str):
        return [w.strip() for w in weights.split(",") if w.strip()]
    return [weights] if isinstance(weights, os.PathLike) else list(weights)


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:1 or mps") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r}: no CUDA device here; use --device cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"device {name!r}: no Apple GPU here; use --device cpu")
    return device


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    """float32 unless asked otherwise: in bfloat16 the shipped network's masks move by a few cells
    (docs/methods.md).
    """
    known = {"auto": torch.float32, "fp32": torch.float32, "bf16": torch.bfloat16}
    if precision not in known:
        raise ConfigError(f"unknown precision {precision!r}: use auto, fp32 or bf16")
    if precision == "bf16" and device.type == "mps":
        raise ConfigError("precision bf16 is for cpu and cuda; use fp32 on mps")
    return known[precision]


def _precision_name(dtype: torch.dtype) -> str:
    return {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype]


def _name(weights: LoadedWeights) -> str:
    return weights.card.name if weights.card is not None else Path(weights.path).name
