"""A method that needs no network and no weights."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from tamperscope.image import DEFAULT_MAX_PIXELS, ImageSource, read_image
from tamperscope.localizer import MethodCard
from tamperscope.provenance import JSON, Provenance
from tamperscope.result import Localization, MapKind


@dataclasses.dataclass
class BrightIsForged:
    """Calls forged what is brighter than `level`; counts how often it was asked."""

    level: float = 0.5
    weights: str | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    calls: list[str] = dataclasses.field(default_factory=list)
    before: Callable[[str], None] = lambda name: None

    card = MethodCard(
        name="bright",
        title="Bright is forged",
        paper="none",
        map_kind=MapKind.SALIENCY,
        summary="Marks what is bright.",
        limits="It knows nothing of forgery.",
        weights=(),
        presets=("default",),
    )

    def describe(self) -> dict[str, JSON]:
        return {"method": "bright", "level": self.level, "weights": {"w": self.weights or "a" * 64}}

    def localize(self, source: ImageSource, *, id: str | None = None) -> Localization:
        image = read_image(source, max_pixels=self.max_pixels, id=id)
        self.calls.append(id or image.id)
        self.before(id or image.id)
        scores = image.pixels.mean(axis=2, dtype=np.float32) / np.float32(255)
        mask = scores > self.level
        return Localization(
            score_map=scores,
            map_kind=MapKind.SALIENCY,
            mask=mask,
            threshold=self.level,
            image_score=float(scores.max()),
            provenance=Provenance(
                version="0",
                commit=None,
                method="bright",
                config={"level": self.level},
                weights={"w": self.weights or "a" * 64},
                device="cpu",
                precision="fp32",
                seed=0,
                seconds={"all": 0.1},
                input_id=id or image.id,
                input_sha256=image.sha256,
                input_size=image.size,
            ),
        )

    def localize_batch(self, sources: Sequence[ImageSource]) -> list[Localization]:
        return [self.localize(source) for source in sources]
