"""DOLOS, ready to run: `build` makes a localizer from the catalogue's options."""

from dataclasses import asdict, replace
from functools import partial
from typing import Any, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from tamperscope.engines import Engine
from tamperscope.face_parsing.preprocess import Resample
from tamperscope.image import DEFAULT_MAX_PIXELS, Image, ImageSource, read_image
from tamperscope.localizer import MethodCard
from tamperscope.methods.base import (
    BaseLocalizer,
    Decision,
    WeightsChoice,
    card_decision,
    is_flat,
    left_to_card,
    run_by,
    single_weights,
    weights_name,
)
from tamperscope.methods.common import choose_device, choose_dtype
from tamperscope.methods.dolos.config import DolosConfig, resolve
from tamperscope.methods.dolos.decision import (
    THRESHOLD,
    TOP_SHARE,
    decide,
    image_score_rule,
    raw_score,
)
from tamperscope.methods.dolos.graph import graph_of
from tamperscope.methods.dolos.maps import DolosMap, answer
from tamperscope.methods.dolos.network import DolosNetwork, network_for
from tamperscope.methods.dolos.preprocess import prepare
from tamperscope.provenance import Stopwatch
from tamperscope.result import Localization
from tamperscope.weights import LoadedWeights, WeightsCard

_FROM_CARD = {
    "threshold": THRESHOLD,
    "image_threshold": 0.0,
    "image_top": TOP_SHARE,
    "smoothing": 0.0,
    "min_region": 0.0,
}
_CALIBRATION = ("image_scale", "image_bias")


class DolosLocalizer(BaseLocalizer):
    """Implements `tamperscope.Localizer` for all six methods.

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
        engine: Engine | None = None,
    ) -> None:
        super().__init__(
            card,
            {weights_name(weights): weights.sha256},
            preset=preset,
            device=device,
            dtype=dtype,
            max_pixels=max_pixels,
            engine=engine,
        )
        self._config = _resolved(config, network, weights.card)
        self._rule = image_score_rule(self._config, network.method, network.supervision)
        self._calibration = _calibration(config, weights.card)
        self._network = network.eval().requires_grad_(False).to(self._device)
        if self._device.type != "mps":
            self._network.to(memory_format=torch.channels_last)

    def localize(self, source: ImageSource, *, id: str | None = None) -> Localization:
        """See `tamperscope.Localizer.localize`."""
        watch = Stopwatch()
        with watch.stage("decode"):
            image = read_image(source, max_pixels=self._max_pixels, id=id)
        if is_flat(image.pixels):
            decision = Decision.clean(image.size, {"decision": "clean: one colour"})
        else:
            with watch.stage("map"):
                found = self._answer(image.pixels)
            with watch.stage("decision"):
                decision = self._decide(found, image.size)
        return self._localization(decision, image, watch, threshold=self._config.threshold)

    def raw(self, image: Image) -> tuple[NDArray[np.float32], float]:
        """What the paper's protocol measures, before any decision.

        The preset ``as-published`` ranks by the paper's image score, others by their own.

        Returns:
            The map (h, w) in [0, 1] on the network's own grid (Grad-CAM from labels: the heat map),
            and the image score, unbounded where it is a logit.
        """
        found = self._answer(image.pixels)
        return found.scores, raw_score(found, self._rule, self._config.image_top)

    def _answer(self, pixels: NDArray[np.uint8]) -> DolosMap:
        resample = cast(Resample, self._config.resample)
        x = prepare(pixels, resample=resample, size=self._config.size)
        return answer(self._network, x, device=self._device, dtype=self._dtype)

    def _decide(self, found: DolosMap, size: tuple[int, int]) -> Decision:
        return decide(found, size, self._config, rule=self._rule, calibration=self._calibration)

    def _settings(self) -> dict[str, Any]:
        chosen = {**asdict(self._config), "image_score": self._rule}
        return {"preset": self._preset, **chosen, "calibration": self._calibration}


def _resolved(config: DolosConfig, network: DolosNetwork, card: WeightsCard | None) -> DolosConfig:
    """``auto``, size 0 and negative values replaced by what the weights card or the method says."""
    decision = card_decision(card, (*_FROM_CARD, *_CALIBRATION), "dolos")
    chosen = left_to_card(config, _FROM_CARD, decision)
    resample = config.resample
    if resample == "auto":
        lanczos = network.supervision == "weak" and network.method != "attention"
        resample = "lanczos" if lanczos else "bilinear"
        if card is not None and card.preprocessing in get_args(Resample):
            resample = cast(Resample, card.preprocessing)
    rule = config.image_score
    if rule == "auto" and "image_top" in decision:
        rule = "top"
    size = config.size or (0 if card is None else card.side) or network.input_size
    return replace(config, size=size, resample=resample, image_score=rule, **chosen)  # type: ignore[arg-type]


def _calibration(config: DolosConfig, card: WeightsCard | None) -> tuple[float, float] | None:
    """Scale and bias that turn the card's image score into a probability, where the card has them;
    they were fitted to no other score."""
    if card is None or config.image_score != "auto" or "image_scale" not in card.decision:
        return None
    return float(card.decision["image_scale"]), float(card.decision.get("image_bias", 0.0))


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
) -> DolosLocalizer:
    """A localizer as `tamperscope.load` asks for it; by default with the weights of its own name.

    Raises:
        ConfigError: a setting that does not exist or cannot be.
        WeightsError: weights that cannot be found or used.
    """
    config = resolve(card.name, preset, options)
    target = choose_device(device)
    dtype = choose_dtype(precision, target)
    network, loaded = network_for(single_weights(weights, card.name, method=card.name), card.name)
    network = run_by(engine, partial(graph_of, network), network, loaded)
    return DolosLocalizer(
        card,
        network,
        loaded,
        config,
        preset=preset,
        device=target,
        dtype=dtype,
        max_pixels=max_pixels,
        engine=engine,
    )
