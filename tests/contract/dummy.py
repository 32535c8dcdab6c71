"""The smallest method that keeps the contract: it holds the suite itself to account."""

from collections.abc import Sequence

import numpy as np

from tamperscope import catalog
from tamperscope.catalog import LoadOptions
from tamperscope.errors import ConfigError, WeightsNotFoundError
from tamperscope.image import ImageSource, read_image
from tamperscope.localizer import MethodCard
from tamperscope.provenance import JSON, Provenance, Stopwatch, tool_commit, tool_version
from tamperscope.result import Localization, MapKind

CARD = MethodCard(
    name="dummy",
    title="Dummy",
    paper="none",
    map_kind=MapKind.SALIENCY,
    summary="Marks what is brighter than the picture's mean by half the range.",
    limits="It knows nothing about forgeries.",
    weights=(),
    presets=("default", "eager"),
)


class Dummy:
    def __init__(self, options: LoadOptions) -> None:
        self._options = options
        self._margin = float(options.config.get("margin", 0.5))

    @property
    def card(self) -> MethodCard:
        return CARD

    def localize(self, source: ImageSource, *, id: str | None = None) -> Localization:
        watch = Stopwatch()
        with watch.stage("decode"):
            image = read_image(source, max_pixels=self._options.max_pixels, id=id)
        with watch.stage("score"):
            grey = image.pixels.mean(axis=2, dtype=np.float64) / 255
            score_map = np.clip((grey - grey.mean() + 1) / 2, 0, 1).astype(np.float32)
            mask = score_map > (1 + self._margin) / 2
        return Localization(
            score_map=score_map,
            map_kind=CARD.map_kind,
            mask=mask,
            threshold=(1 + self._margin) / 2,
            image_score=float(mask.any()),
            provenance=Provenance(
                version=tool_version(),
                commit=tool_commit(),
                method=CARD.name,
                config={"margin": self._margin, "preset": self._options.preset},
                weights={},
                device="cpu",
                precision="fp32",
                seed=0,
                seconds=watch.seconds,
                input_id=image.id,
                input_sha256=image.sha256,
                input_size=image.size,
            ),
        )

    def localize_batch(self, sources: Sequence[ImageSource]) -> list[Localization]:
        return [self.localize(source) for source in sources]

    def describe(self) -> dict[str, JSON]:
        config: dict[str, JSON] = {"margin": self._margin, "preset": self._options.preset}
        return {"method": CARD.name, "config": config, "weights": {}}


def build(card: MethodCard, options: LoadOptions) -> Dummy:
    if wrong := set(options.config) - {"margin"}:
        raise ConfigError(f"dummy has no option {sorted(wrong)}; known: margin")
    if options.device not in ("auto", "cpu"):
        raise ConfigError(f"dummy has no device {options.device!r}; known: auto, cpu")
    if options.weights is not None:
        raise WeightsNotFoundError(f"dummy has no weights {options.weights!r}: leave them out")
    return Dummy(options)


ENTRY = catalog._Entry(CARD, build)
