"""FakeLocator, ready to run: `build` makes a localizer from the catalogue's options."""

from dataclasses import asdict, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tamperscope.engines import Engine
from tamperscope.engines.precision import computing
from tamperscope.face_parsing.parser import FaceParser, parse_face
from tamperscope.face_parsing.parts import renumber
from tamperscope.face_parsing.registry import load_parser
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
from tamperscope.methods.fakelocator.config import FakeLocatorConfig, resolve
from tamperscope.methods.fakelocator.decision import (
    CALIBRATION,
    FROM_CARD,
    Examined,
    Fakeness,
    decide,
    has_face,
    image_level,
    image_score,
)
from tamperscope.methods.fakelocator.graph import graph_of
from tamperscope.methods.fakelocator.network import FakeLocatorNetwork, network_for
from tamperscope.methods.fakelocator.preprocess import prepare, prepare_attention, squeeze_labels
from tamperscope.provenance import Stopwatch
from tamperscope.result import Localization
from tamperscope.weights import LoadedWeights


class RecordedParser(FaceParser, Protocol):
    """A face parser that says which weights it runs with."""

    weights: dict[str, str]
    """sha256 by name."""


class FakeLocatorLocalizer(BaseLocalizer):
    """Implements `tamperscope.Localizer`.

    Args:
        card: the method's card.
        network: what `network_for` gave; it is put into evaluation mode and its weights are frozen.
        weights: likewise.
        config: choices; the negative thresholds in it are resolved here.
        parser: labels the parts of faces; None for attention everywhere and no parts by name.
        preset: the name of the preset the choices come from, for the record.

    Raises:
        WeightsError: the weights card has a decision this does not know.
    """

    def __init__(
        self,
        card: MethodCard,
        network: FakeLocatorNetwork,
        weights: LoadedWeights,
        config: FakeLocatorConfig,
        *,
        parser: RecordedParser | None = None,
        preset: str = "default",
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        engine: Engine | None = None,
    ) -> None:
        parts = {} if parser is None else parser.weights
        super().__init__(
            card,
            {weights_name(weights): weights.sha256, **parts},
            preset=preset,
            device=device,
            dtype=dtype,
            max_pixels=max_pixels,
            engine=engine,
        )
        known = card_decision(weights.card, (*FROM_CARD, *CALIBRATION), "fakelocator")
        chosen = left_to_card(config, FROM_CARD, known)
        side = 0 if weights.card is None else weights.card.side
        size = config.size or side or network.input_size
        self._config = replace(config, size=size, **chosen)  # type: ignore[arg-type]
        scale, bias = (known.get(name, default) for name, default in CALIBRATION.items())
        self._calibration = (scale, bias)
        self._network = network.eval().requires_grad_(False).to(self._device)
        if self._device.type != "mps":
            self._network.to(memory_format=torch.channels_last)
        self._parser = parser

    def localize(self, source: ImageSource, *, id: str | None = None) -> Localization:
        """See `tamperscope.Localizer.localize`."""
        watch = Stopwatch()
        with watch.stage("decode"):
            image = read_image(source, max_pixels=self._max_pixels, id=id)
        if is_flat(image.pixels):
            trace = {"picture": "real", "decision": "clean: one colour", "face": False}
            decision = Decision.clean(image.size, trace)
        else:
            with watch.stage("parsing"):
                labels = self._labels(image)
            with watch.stage("map"):
                found = self._answer(image, labels)
            with watch.stage("decision"):
                decision = decide(found, image.size, self._config, calibration=self._calibration)
        return self._localization(
            decision,
            image,
            watch,
            threshold=self._config.threshold,
            notes={"feature_grid": [self._config.size] * 2},
        )

    def answer(self, image: Image) -> Fakeness:
        """What the networks say of a picture, before any decision."""
        return self._answer(image, self._labels(image))

    def raw(self, image: Image) -> tuple[NDArray[np.float32], float]:
        """What is measured before any decision: the map (size, size) in [0, 1] on the network's
        grid, and the image score."""
        found = self.answer(image)
        return found.scores, image_score(found, self._config, self._calibration)

    def features(self, source: ImageSource) -> NDArray[np.float32]:
        """The encoder's last features averaged over places, float32 (D,): what single-sample
        clustering works on.

        Raises:
            ImageError: the picture cannot be read.
        """
        return self.examine(read_image(source, max_pixels=self._max_pixels)).features

    def examine(self, image: Image) -> Examined:
        """Map, image score, decision and features of a picture, by one pass of the network."""
        # The names of parts are not asked for: without attention nobody needs the parser.
        labels = self._labels(image) if self._network.uses_attention else None
        found = self._answer(image, labels)
        score = image_score(found, self._config, self._calibration)
        return Examined(
            scores=found.scores,
            image_score=score,
            fake=score > image_level(self._config),
            features=found.embedding,
        )

    def _labels(self, image: Image) -> NDArray[np.uint8] | None:
        """Part labels (size, size), or None where no face is seen."""
        if self._parser is None:
            return None
        labels = parse_face(self._parser, image.pixels, what=image.id)
        labels = renumber(labels, "celebamask", what=image.id)
        small = squeeze_labels(labels, self._config.size)
        return small if has_face(small, self._config.face_share) else None

    def _answer(self, image: Image, labels: NDArray[np.uint8] | None) -> Fakeness:
        x = prepare(image.pixels, size=self._config.size)[None].to(self._device)
        attention = None
        if labels is not None and self._network.uses_attention:
            attention = prepare_attention(labels, self._network.attention_weights)[None]
            attention = attention.to(self._device)
        with torch.inference_mode(), computing(self._device, self._dtype):
            outputs = self._network(x, attention)
        return Fakeness(
            scores=outputs["map_logits"].float().sigmoid()[0, 0].cpu().numpy(),
            label=outputs["label_logits"][0].cpu().double().numpy(),
            embedding=outputs["embedding"][0].float().cpu().numpy(),
            labels=labels,
        )

    def _settings(self) -> dict[str, Any]:
        calibration = dict(zip(CALIBRATION, self._calibration, strict=True))
        return {"preset": self._preset, **asdict(self._config), "calibration": calibration}


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
) -> FakeLocatorLocalizer:
    """A localizer as `tamperscope.load` asks for it.

    Raises:
        ConfigError: a setting that does not exist or cannot be.
        WeightsError: weights, also those of the face parser, that cannot be found or used.
        MissingExtraError: the parser needs an extra that is not installed.
    """
    config = resolve(preset, options)
    target = choose_device(device)
    dtype = choose_dtype(precision, target)
    network, loaded = network_for(single_weights(weights, card.name, method=card.name))
    network = run_by(engine, partial(graph_of, network), network, loaded)
    parser = None
    if config.parser != "none":
        parser = load_parser(config.parser, device=target, engine=engine)
    return FakeLocatorLocalizer(
        card,
        network,
        loaded,
        config,
        parser=parser,
        preset=preset,
        device=target,
        dtype=dtype,
        max_pixels=max_pixels,
        engine=engine,
    )
