"""Every choice between the network of FakeLocator and a mask, as one frozen configuration."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from tamperscope.errors import ConfigError
from tamperscope.methods.common import resolve_options

DecisionRule = Literal["label", "map"]


@dataclass(frozen=True, kw_only=True)
class FakeLocatorConfig:
    """How a picture becomes a map, a mask and a score.

    Attributes:
        size: the picture is squeezed into ``size`` x ``size`` pixels; 0 = as the weights card says,
            else 256.
        parser: what labels the parts of the face, for the attention and for the parts by name:
            ``shipped``, a file or name that `tamperscope.face_parsing.registry.load_parser` takes,
            or ``none``: then attention is one everywhere and no part is named.
        face_share: a picture whose inner face (skin, eyes, nose, mouth) covers a smaller share than
            this counts as one without a face: attention is one everywhere, no part is named.
        decision: what tells fake pictures from real ones and gives the image score: the ``label``
            branch, its probability of fake, calibrated where the weights card has what it takes; or
            the ``map``, its mean.
        image_threshold: of ``label``: pictures are fake whose probability is strictly above it;
            negative = the one on the weights card, else 0.5.
        map_threshold: of ``map``, the tau of the mean fakeness; negative = the one on the weights
            card, else 0.02, five grey levels.
        threshold: pixels of strictly greater fakeness make the mask of a fake picture, real ones
            have none; negative = the one on the weights card, else 0.1, 25 grey levels. The method
            itself thresholds nothing, its result is the map.
        mask_real: pictures that count as real get a mask by the same threshold.
        opening, closing: radii of the morphology applied to the mask, in pixels of the squeezed
            picture; 0 = none.
        min_region: smallest region kept, as a share of the picture.
        fill_holes: real holes inside a region become fake.
        largest_component: keep only the largest region.

    Raises:
        ConfigError: a value that is none of these.
    """

    size: int = 0
    parser: str = "shipped"
    face_share: float = 0.02
    decision: DecisionRule = "label"
    image_threshold: float = -1.0
    map_threshold: float = -1.0
    threshold: float = -1.0
    mask_real: bool = False
    opening: float = 0.0
    closing: float = 0.0
    min_region: float = 0.0
    fill_holes: bool = False
    largest_component: bool = False

    def __post_init__(self) -> None:
        if self.decision not in get_args(DecisionRule):
            known = ", ".join(get_args(DecisionRule))
            raise ConfigError(f"fakelocator has no decision {self.decision!r}; known: {known}")
        right = self.size == 0 or 32 <= self.size <= 4096
        _check(right, "size", "from 32 to 4096 pixels, or 0 for that of the weights")
        _check(bool(self.parser), "parser", "'shipped', 'none', or a name or file")
        _check(0 <= self.face_share <= 1, "face_share", "a share in [0, 1]")
        for name in ("opening", "closing"):
            _check(0 <= getattr(self, name) <= 1000, name, "from 0 to 1000 pixels")
        _check(0 <= self.min_region < 1, "min_region", "a share in [0, 1)")
        for name in ("threshold", "image_threshold", "map_threshold"):
            value = getattr(self, name)
            _check(-1 <= value <= 1, name, "in [0, 1], or -1 for the one on the weights card")


def _check(ok: bool, name: str, wanted: str) -> None:
    if not ok:
        raise ConfigError(f"fakelocator: {name} must be {wanted}")


PRESETS: dict[str, FakeLocatorConfig] = {
    "default": FakeLocatorConfig(),
    "map-decision": FakeLocatorConfig(decision="map"),
}


def resolve(preset: str, overrides: dict[str, Any]) -> FakeLocatorConfig:
    """A preset with single fields replaced; see `resolve_options`."""
    return resolve_options("fakelocator", PRESETS, preset, overrides)
