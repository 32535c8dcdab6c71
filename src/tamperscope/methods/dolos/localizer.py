"""DOLOS, ready to run: `build` makes a localizer from the catalogue's options."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from tamperscope.errors import ConfigError, ImageError, WeightsError
from tamperscope.image import DEFAULT_MAX_PIXELS, Image, ImageSource, read_image
from tamperscope.localizer import MethodCard
from tamperscope.methods.common import choose_device, choose_dtype, precision_name
from tamperscope.methods.dolos.config import DolosConfig, resolve
from tamperscope.methods.dolos.decision import (
    THRESHOLD,
    Decision,
    decide,
    image_score_rule,
    raw_score,
)
from tamperscope.methods.dolos.maps import DolosMap, answer
from tamperscope.methods.dolos.network import DolosNetwork, network_for
from tamperscope.methods.dolos.preprocess import Resample, prepare
from tamperscope.provenance import JSON, Provenance, Stopwatch, json_safe, tool_commit, tool_version
from tamperscope.result import Localization
from tamperscope.weights import LoadedWeights, WeightsCard

_FROM_CARD = {"threshold": THRESHOLD, "image_threshold": 0.0}
_CALIBRATION = ("image_scale", "image_bias")


class DolosLocalizer:
    """Implements `tamperscope.Localizer` for all six methods. Pictures run one by one, so company
    never changes a result.

    Args:
        card: the method's card.
        network: what `network_for` gave; it is put into evaluation mode and its weights are frozen.
        weights: likewise.
        config: choices; the negative thresholds and ``auto`` values in it are resolved here.
        preset: the name of the preset they come from, for the record.

    Raises:
        ConfigError: an image score that the network does not have.
        WeightsError: the weights card has a decision this does not know.
    """

    def __init__(
        self,
        card: MethodCard,
        network: DolosNetwork,
        weights: LoadedWeights,
        config: DolosConfig,
        *,
        preset: str = "default",
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        self._card = card
        self._config = _resolved(config, network, weights.card)
        self._rule = image_score_rule(config, network.method, network.supervision)
        self._calibration = _calibration(config, weights.card)
        self._device = device or torch.device("cpu")
        self._network = network.eval().requires_grad_(False).to(self._device)
        if self._device.type != "mps":
            self._network.to(memory_format=torch.channels_last)
        name = weights.card.name if weights.card is not None else weights.path.name
        self._weights = {name: weights.sha256}
        self._preset = preset
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
        if _is_flat(image.pixels):
            decision = _clean(image.size)
        else:
            with watch.stage("map"):
                found = self._answer(image.pixels)
            with watch.stage("decision"):
                decision = self._decide(found, image.size)
        return Localization(
            score_map=decision.scores,
            map_kind=self._card.map_kind,
            mask=decision.mask,
            threshold=self._config.threshold,
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
                "config": self._settings(),
                "weights": self._weights,
                "device": str(self._device),
                "precision": precision_name(self._dtype),
            }
        )
        assert isinstance(described, dict)
        return described

    def raw(self, image: Image) -> tuple[NDArray[np.float32], float]:
        """What the paper's protocol measures, before any decision.

        Returns:
            The map (h, w) in [0, 1] on the network's own grid (Grad-CAM from labels: the heat map),
            and the image score, unbounded where it is a logit.
        """
        found = self._answer(image.pixels)
        return found.scores, raw_score(found, self._rule)

    def _answer(self, pixels: NDArray[np.uint8]) -> DolosMap:
        resample = cast(Resample, self._config.resample)
        x = prepare(pixels, resample=resample, size=self._config.size)
        return answer(self._network, x, device=self._device, dtype=self._dtype)

    def _decide(self, found: DolosMap, size: tuple[int, int]) -> Decision:
        return decide(found, size, self._config, rule=self._rule, calibration=self._calibration)

    def _settings(self) -> dict[str, Any]:
        chosen = {**asdict(self._config), "image_score": self._rule}
        return {"preset": self._preset, **chosen, "calibration": self._calibration}

    def _provenance(self, image: Image, watch: Stopwatch, decision: Decision) -> Provenance:
        return Provenance(
            version=tool_version(),
            commit=tool_commit(),
            method=self._card.name,
            config=self._settings(),
            weights=self._weights,
            device=str(self._device),
            precision=precision_name(self._dtype),
            seed=0,
            seconds=watch.seconds,
            input_id=image.id,
            input_sha256=image.sha256,
            input_size=image.size,
            notes=decision.trace,
        )


def _is_flat(pixels: NDArray[np.uint8]) -> bool:
    # The first row settles it for nearly every picture, at no cost.
    first = pixels[0, 0]
    return bool((pixels[0] == first).all() and (pixels == first).all())


def _clean(size: tuple[int, int]) -> Decision:
    """A picture of one colour carries no traces, and none of the networks has ever seen one."""
    return Decision(
        scores=np.zeros(size, np.float32),
        mask=np.zeros(size, np.bool_),
        image_score=0.0,
        trace={"decision": "clean: one colour"},
    )


def _resolved(config: DolosConfig, network: DolosNetwork, card: WeightsCard | None) -> DolosConfig:
    """``auto`` and negative values replaced by what the weights card or the method says."""
    decision: Mapping[str, float] = {} if card is None else card.decision
    known = (*_FROM_CARD, *_CALIBRATION)
    foreign = sorted(set(decision) - set(known))
    if card is not None and foreign:
        raise WeightsError(
            f"the card of {card.name!r} decides by {', '.join(foreign)}, which dolos does not "
            f"know; leave only {', '.join(known)} in it"
        )
    chosen = {
        name: float(decision.get(name, default))
        for name, default in _FROM_CARD.items()
        if getattr(config, name) < 0
    }
    resample = config.resample
    if resample == "auto":
        lanczos = network.supervision == "weak" and network.method != "attention"
        resample = "lanczos" if lanczos else "bilinear"
        if card is not None and card.preprocessing in get_args(Resample):
            resample = cast(Resample, card.preprocessing)
    return replace(config, resample=resample, **chosen)  # type: ignore[arg-type]


def _calibration(config: DolosConfig, card: WeightsCard | None) -> tuple[float, float] | None:
    """Scale and bias that turn the paper's image score into a probability, where the card has them;
    they were fitted to no other score."""
    if card is None or config.image_score != "auto" or "image_scale" not in card.decision:
        return None
    return float(card.decision["image_scale"]), float(card.decision.get("image_bias", 0.0))


def build(
    card: MethodCard,
    *,
    preset: str,
    weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None,
    device: str,
    precision: str,
    max_pixels: int,
    options: dict[str, Any],
) -> DolosLocalizer:
    """A localizer as `tamperscope.load` asks for it; by default with the weights of its own name.

    Raises:
        ConfigError: a setting that does not exist or cannot be.
        WeightsError: weights that cannot be found or used.
    """
    config = resolve(card.name, preset, options)
    target = choose_device(device)
    dtype = choose_dtype(precision, target)
    if weights is not None and not isinstance(weights, str | os.PathLike):
        if len(weights) != 1:
            raise ConfigError(f"{card.name} runs one network: give one weights file")
        weights = weights[0]
    network, loaded = network_for(card.name if weights is None else weights, card.name)
    return DolosLocalizer(
        card,
        network,
        loaded,
        config,
        preset=preset,
        device=target,
        dtype=dtype,
        max_pixels=max_pixels,
    )
