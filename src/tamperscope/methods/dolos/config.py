"""Every choice between a network of DOLOS and a mask, as one frozen configuration."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from tamperscope.errors import ConfigError
from tamperscope.methods.common import resolve_options

Resampling = Literal["auto", "lanczos", "bilinear"]
Upsampling = Literal["bicubic", "bilinear", "nearest"]
DecisionRule = Literal["threshold", "hdbscan"]
ImageScore = Literal["auto", "paper", "mean", "max", "top", "logit", "softmax"]
ClusterInput = Literal["features", "scores"]
NoiseRule = Literal["forged-cluster", "nearest", "pristine"]

_CLUSTER_SHARE = 1000 / 256**2
_SMALLEST_CLUSTER = 5


@dataclass(frozen=True, kw_only=True)
class DolosConfig:
    """How a picture becomes a mask. The preset ``as-published`` is what DOLOS evaluates; the
    default leaves to the weights card how pictures are ranked.

    Attributes:
        size: the picture is resized to ``size`` x ``size`` pixels, its aspect ratio not kept; 0 =
            as the weights card says, else 299.
        resample: filter of that resizing: ``auto`` = the one on the weights card, else as the
            method is trained: ``lanczos`` for Patches and Grad-CAM from labels, ``bilinear`` for
            all others.
        upsampling: of the map to the picture's size, by Pillow.
        decision: ``threshold`` cuts the map; ``hdbscan`` clusters the cells of the map's grid, the
            largest cluster is real and all others are fake (without two clusters nothing is).
        threshold: pixels scoring strictly above it are fake; negative = the one on the weights
            card, else 0.5.
        image_threshold: pictures scoring below it get an empty mask; negative = the one on the
            weights card, else 0, which lets every mask pass.
        image_score: ``mean`` or ``max`` of the map before upsampling, ``top`` = the mean of its
            highest cells, or from the label's logits the sigmoid of the fake one (``logit``) or
            the ``softmax`` (the probability that was trained). ``paper`` is what the paper ranks
            by: ``logit`` for Grad-CAM and Attention from labels, ``mean`` for all others.
            ``auto`` is what the weights card says, else ``paper``; where the card has a
            calibration, the probability of a fake that this gives. Attention from masks has no
            trained label, a saliency no level.
        image_top: share of the cells that ``top`` averages, at least one cell; negative = the one
            on the weights card, else 0.005.
        cluster_on: what ``hdbscan`` sees: the ``features`` that the map is made of, or its
            ``scores``.
        min_cluster_size: of ``hdbscan``, in cells; 0 = 1000 for 256 x 256 cells, fewer in
            proportion (21 for 37 x 37), at least 5.
        min_samples: of ``hdbscan``; 0 = as ``min_cluster_size``.
        noise: cells without a cluster are fake (``forged-cluster``), join the ``nearest`` cluster,
            or are ``pristine``.
        smoothing: standard deviation in cells of a Gaussian over the map; 0 = none, negative = the
            one on the weights card, else none.
        opening, closing, dilation, erosion: radii in cells of the morphology applied to the mask;
            0 = none.
        min_region: smallest region kept, as a share of the picture; negative = the one on the
            weights card, else 0.
        fill_holes: real holes inside a region become fake.
        largest_component: keep only the largest region.

    Raises:
        ConfigError: a value that is none of these.
    """

    size: int = 0
    resample: Resampling = "auto"
    upsampling: Upsampling = "bicubic"
    decision: DecisionRule = "threshold"
    threshold: float = -1.0
    image_threshold: float = -1.0
    image_score: ImageScore = "auto"
    image_top: float = -1.0
    cluster_on: ClusterInput = "features"
    min_cluster_size: int = 0
    min_samples: int = 0
    noise: NoiseRule = "nearest"
    smoothing: float = -1.0
    opening: float = 0.0
    closing: float = 0.0
    dilation: float = 0.0
    erosion: float = 0.0
    min_region: float = -1.0
    fill_holes: bool = False
    largest_component: bool = False

    def __post_init__(self) -> None:
        for name, kind in _CHOICES.items():
            value = getattr(self, name)
            if value not in get_args(kind):
                raise ConfigError(
                    f"dolos has no {name} {value!r}; known: {', '.join(get_args(kind))}"
                )
        _check(self.size == 0 or 32 <= self.size <= 4096, "size",
               "from 32 to 4096 pixels, or 0 for that of the weights")  # fmt: skip
        _check(self.min_cluster_size == 0 or self.min_cluster_size >= 2, "min_cluster_size",
               "at least 2, or 0 to scale with the grid")  # fmt: skip
        _check(self.min_samples >= 0, "min_samples", "0 or more")
        for name in ("opening", "closing", "dilation", "erosion"):
            _check(0 <= getattr(self, name) <= 1000, name, "from 0 to 1000 cells")
        _check(0 <= self.smoothing <= 1000 or self.smoothing == -1, "smoothing",
               "from 0 to 1000 cells, or -1 for the one on the weights card")  # fmt: skip
        _check(0 <= self.min_region < 1 or self.min_region == -1, "min_region",
               "a share in [0, 1), or -1 for the one on the weights card")  # fmt: skip
        for name in ("threshold", "image_threshold", "image_top"):
            value = getattr(self, name)
            _check(-1 <= value <= 1, name, "in [0, 1], or -1 for the one on the weights card")

    def cluster_size(self, cells: int) -> int:
        """``min_cluster_size`` for a grid of so many cells, with 0 resolved."""
        scaled = max(_SMALLEST_CLUSTER, round(_CLUSTER_SHARE * cells))
        return self.min_cluster_size or scaled


_CHOICES: dict[str, Any] = {
    "resample": Resampling,
    "upsampling": Upsampling,
    "decision": DecisionRule,
    "image_score": ImageScore,
    "cluster_on": ClusterInput,
    "noise": NoiseRule,
}


def _check(ok: bool, name: str, wanted: str) -> None:
    if not ok:
        raise ConfigError(f"dolos: {name} must be {wanted}")


PRESETS: dict[str, DolosConfig] = {
    "default": DolosConfig(),
    "as-published": DolosConfig(
        image_score="paper", threshold=0.5, image_threshold=0.0, smoothing=0.0, min_region=0.0
    ),
    "clustered": DolosConfig(decision="hdbscan", smoothing=0.0, min_region=0.0),
}


def resolve(method: str, preset: str, overrides: dict[str, Any]) -> DolosConfig:
    """A preset with single fields replaced; see `resolve_options`.

    Args:
        method: the name of the method, for messages.
    """
    return resolve_options(method, PRESETS, preset, overrides)
