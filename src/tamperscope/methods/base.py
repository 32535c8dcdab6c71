"""What every localizer does alike, around the one thing it does by itself."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from tamperscope.engines import Engine, Graph
from tamperscope.errors import ConfigError, ImageError, WeightsError
from tamperscope.image import DEFAULT_MAX_PIXELS, Image, ImageSource
from tamperscope.localizer import MethodCard
from tamperscope.methods.common import precision_name
from tamperscope.provenance import JSON, Provenance, Stopwatch, json_safe, tool_commit, tool_version
from tamperscope.result import Localization
from tamperscope.weights import LoadedWeights, WeightsCard

Network = TypeVar("Network", bound=torch.nn.Module)
WeightsChoice: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None"


@dataclass(frozen=True, kw_only=True, eq=False)
class Decision:
    """scores: float32 (h, w) in [0, 1]; mask: bool (h, w); image_score: in [0, 1]; trace: JSON-able
    record of how they came about."""

    scores: NDArray[np.float32]
    mask: NDArray[np.bool_]
    image_score: float
    trace: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def clean(cls, size: tuple[int, int], trace: dict[str, Any]) -> "Decision":
        """Nothing found in a picture of ``size`` (height, width)."""
        return cls(
            scores=np.zeros(size, np.float32),
            mask=np.zeros(size, np.bool_),
            image_score=0.0,
            trace=trace,
        )


class BaseLocalizer(ABC):
    """A `tamperscope.Localizer` that examines pictures one by one, so that company never changes a
    result. Methods implement `localize` and `_settings`.

    Args:
        card: the method's card.
        weights: sha256 by name, of everything that was loaded.
        preset: the name of the preset that the settings come from, for the record.
        engine: what runs the networks, for the record; None for PyTorch itself.
    """

    def __init__(
        self,
        card: MethodCard,
        weights: Mapping[str, str],
        *,
        preset: str = "default",
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        engine: Engine | None = None,
    ) -> None:
        self._engine = engine
        self._card = card
        self._weights = dict(weights)
        self._preset = preset
        self._device = device or torch.device("cpu")
        self._dtype = dtype
        self._max_pixels = max_pixels

    @property
    def card(self) -> MethodCard:
        """The method's card."""
        return self._card

    @abstractmethod
    def localize(self, source: ImageSource, *, id: str | None = None) -> Localization:
        """See `tamperscope.Localizer.localize`."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Everything that was decided before the first picture, as plain values."""

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
                "config": self._config_record(),
                "weights": self._weights,
                "device": str(self._device),
                "precision": precision_name(self._dtype),
            }
        )
        assert isinstance(described, dict)
        return described

    def _config_record(self) -> dict[str, Any]:
        ran_by = {} if self._engine is None else {"engine": self._engine.record}
        return {**self._settings(), **ran_by}

    def _localization(
        self,
        decision: Decision,
        image: Image,
        watch: Stopwatch,
        *,
        threshold: float,
        notes: Mapping[str, Any] = MappingProxyType({}),
    ) -> Localization:
        """A decision as a result; its trace and ``notes`` become the notes of the record."""
        return Localization(
            score_map=decision.scores,
            map_kind=self._card.map_kind,
            mask=decision.mask,
            threshold=threshold,
            image_score=decision.image_score,
            provenance=self._provenance(image, watch, {**decision.trace, **notes}),
        )

    def _provenance(
        self, image: Image, watch: Stopwatch, notes: dict[str, Any], *, seed: int = 0
    ) -> Provenance:
        return Provenance(
            version=tool_version(),
            commit=tool_commit(),
            method=self._card.name,
            config=self._config_record(),
            weights=self._weights,
            device=str(self._device),
            precision=precision_name(self._dtype),
            seed=seed,
            seconds=watch.seconds,
            input_id=image.id,
            input_sha256=image.sha256,
            input_size=image.size,
            notes=notes,
        )


def is_flat(pixels: NDArray[np.uint8]) -> bool:
    """Whether a picture (h, w, 3) has one colour: it carries no traces then, and networks have
    never seen one."""
    # The first row settles it for nearly every picture, at no cost.
    first = pixels[0, 0]
    return bool((pixels[0] == first).all() and (pixels == first).all())


def weights_name(weights: LoadedWeights) -> str:
    """What a record calls weights: by their card, else by their file."""
    return weights.name


def run_by(
    engine: Engine | None, graph: Callable[[], Graph], network: Network, weights: LoadedWeights
) -> Network:
    """A network, or what stands in for it where an engine is to run it."""
    if engine is None:
        return network
    network.eval()
    runner = engine.runner(graph(), weights)
    # It has what callers of the network use: see `Graph.facts`.
    return cast(Network, runner)


def card_decision(card: WeightsCard | None, known: Sequence[str], method: str) -> dict[str, float]:
    """The decision on a weights card; empty without a card.

    Raises:
        WeightsError: it decides by something other than ``known``.
    """
    if card is None:
        return {}
    foreign = sorted(set(card.decision) - set(known))
    if foreign:
        raise WeightsError(
            f"the card of {card.name!r} decides by {', '.join(foreign)}, which {method} does not "
            f"know; leave only {', '.join(known)} in it"
        )
    return {name: float(value) for name, value in card.decision.items()}


def left_to_card(
    config: object, defaults: Mapping[str, float], decision: Mapping[str, float]
) -> dict[str, float]:
    """Fields of a configuration that are negative, as the weights card has them, or the default."""
    return {
        name: decision.get(name, default)
        for name, default in defaults.items()
        if getattr(config, name) < 0
    }


def single_weights(weights: WeightsChoice, default: str, *, method: str) -> str | os.PathLike[str]:
    """The one name or path in what `tamperscope.load` was given, the default for None.

    Raises:
        ConfigError: several.
    """
    if weights is None:
        return default
    if isinstance(weights, str | os.PathLike):
        return weights
    if len(weights) != 1:
        raise ConfigError(f"{method} runs one network: give one weights file")
    return weights[0]
