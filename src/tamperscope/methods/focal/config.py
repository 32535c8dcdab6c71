"""Every choice FOCAL leaves open, as one frozen configuration, and the presets made of it."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from tamperscope.errors import ConfigError
from tamperscope.methods.common import resolve_options

Geometry = Literal["native", "square"]
Clustering = Literal["seeded", "kmeans", "hdbscan"]
Approximation = Literal["none", "subsample"]
Metric = Literal["euclidean", "cosine"]
Upsampling = Literal["nearest", "bilinear"]
PristineRule = Literal["largest", "released", "border", "evidence"]
NoiseRule = Literal["forged-cluster", "nearest", "pristine"]
Cut = Literal["expected-f1", "fixed"]
MajorityRule = Literal["keep", "swap", "clean"]


@dataclass(frozen=True, kw_only=True)
class FocalConfig:
    """How a picture becomes a mask.

    Attributes:
        geometry: ``native`` keeps every pixel and works in tiles; ``square`` squeezes the picture
            into ``square_size`` x ``square_size`` as the released code does.
        square_size: side in pixels for ``square``.
        tile, overlap: side and overlap of tiles in pixels for ``native``; both multiples of 32, so
            that every tile sees the picture's 8x8 JPEG grid in the same place. A picture no larger
            than a tile is one tile. ``tile`` caps what the network needs;
            the maps of the whole picture come on top, about 80 bytes for each of its pixels.
        align: for ``native``: look for the grid of JPEG blocks in pictures that do not come as a
            JPEG file, crops and screenshots, and lay the network's own on it.
        views: for ``native``: what the networks say is the mean over 1: the picture alone; 2: it
            and its mirror image; 3: these and the picture with rows and columns exchanged. Better
            by little, at so many times the networks' time.
        network_pixels: for ``native``: a picture with more pixels is shrunk to so many before the
            networks see it, which is faster and loses what is small or faint; 0 = never.
        clustering: ``seeded``: two-means on the sphere started from the network's evidence (needs
            an evidence head; ours); ``kmeans``: k-means by the largest inner product, k = 2, as
            released; ``hdbscan``: as published.
        min_cluster_size, min_samples, metric: of HDBSCAN; ``min_samples`` 0 = as
            ``min_cluster_size``.
        approximation: ``none``: HDBSCAN of all vectors; ``subsample``: of 8,192, the others join
            the nearest of these. Not exact, and the result's notes say so.
        kmeans_restarts: random starts of ``kmeans``.
        copies: also look for regions that stand in the picture twice, be it turned, scaled or
            mirrored (ours): a cue for the score map of ``seeded``, and for the image score of every
            clustering.
        max_points: clusterings other than ``seeded`` see at most so many feature vectors; more are
            pooled by area first, and the result's notes say so. 0 = no limit.
        pristine: which clusters are pristine: the ``largest``; the larger of two (``released``, as
            the released code swaps labels); the one most present along the ``border``; or those
            with little ``evidence``. This rule and the next two belong to ``kmeans`` and
            ``hdbscan``; ``seeded`` clusters have their names from the start.
        noise: HDBSCAN's unclustered points become a forged cluster of their own, join the
            ``nearest`` cluster, or are pristine.
        majority: what if more than half came out forged: ``keep`` it, ``swap`` the labels, or call
            the picture ``clean``.
        upsampling: of the mask to the picture's size: ``nearest``, or ``bilinear`` and cut at half
            (as released).
        opening, closing, dilation, erosion: radii in feature cells of the morphology applied to the
            mask; 0 = none.
        min_region: smallest region kept, as a share of the picture.
        fill_holes: pristine holes inside a region become forged.
        largest_component: keep only the largest region.
        cut: for ``seeded``: the threshold is each picture's own, by the F1 to be expected, where
            the weights card has what it takes, or the ``fixed`` one.
        threshold: for ``seeded``: cells scoring above are forged; negative = by ``cut``, with the
            values on the weights card.
        image_threshold: pictures scoring below it get an empty mask; negative = the value on the
            weights card (0 without one). 0 lets every mask pass.
        seed: of the random starts of ``kmeans``.

    Raises:
        ConfigError: a value that is none of these.
    """

    geometry: Geometry = "native"
    square_size: int = 1024
    tile: int = 1024
    overlap: int = 128
    align: bool = True
    views: int = 1
    network_pixels: int = 0
    clustering: Clustering = "seeded"
    min_cluster_size: int = 200
    min_samples: int = 0
    metric: Metric = "euclidean"
    approximation: Approximation = "none"
    kmeans_restarts: int = 8
    copies: bool = True
    max_points: int = 65_536
    pristine: PristineRule = "largest"
    noise: NoiseRule = "nearest"
    majority: MajorityRule = "keep"
    upsampling: Upsampling = "bilinear"
    opening: int = 0
    closing: int = 0
    dilation: int = 0
    erosion: int = 0
    min_region: float = 0.0
    fill_holes: bool = False
    largest_component: bool = False
    cut: Cut = "expected-f1"
    threshold: float = -1.0
    image_threshold: float = -1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in _CHOICES.items():
            value = getattr(self, name)
            if value not in get_args(kind):
                raise ConfigError(
                    f"focal has no {name} {value!r}; known: {', '.join(get_args(kind))}"
                )
        _check(self.square_size >= 32, "square_size", "at least 32")
        _check(self.tile >= 64 and self.tile % 32 == 0, "tile", "a multiple of 32, at least 64")
        _check(
            0 <= self.overlap <= self.tile // 2 and self.overlap % 32 == 0,
            "overlap",
            "a multiple of 32, at most half a tile",
        )
        _check(
            self.network_pixels == 0 or self.network_pixels >= 4096,
            "network_pixels",
            "0 or at least 4096",
        )
        _check(1 <= self.views <= 3, "views", "1, 2 or 3")
        _check(self.min_cluster_size >= 2, "min_cluster_size", "at least 2")
        _check(self.kmeans_restarts >= 1, "kmeans_restarts", "at least 1")
        for name in ("min_samples", "max_points", "opening", "closing", "dilation", "erosion"):
            _check(getattr(self, name) >= 0, name, "0 or more")
        _check(0 <= self.seed < 2**63, "seed", "0 or more, below 2**63")
        _check(0 <= self.min_region < 1, "min_region", "a share in [0, 1)")
        for name in ("threshold", "image_threshold"):
            value = getattr(self, name)
            _check(-1 <= value <= 1, name, "in [0, 1], or -1 for the one on the weights card")
        if self.pristine == "released" and self.clustering == "hdbscan":
            raise ConfigError(
                "focal: pristine=released needs exactly two clusters, as kmeans gives; "
                "use pristine=largest with hdbscan"
            )

    def sides(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Rows and columns at which the networks see a picture of ``shape`` (h, w, ...)."""
        if self.geometry == "square":
            return self.square_size, self.square_size
        return shape[0], shape[1]


_CHOICES: dict[str, Any] = {
    "geometry": Geometry,
    "clustering": Clustering,
    "metric": Metric,
    "approximation": Approximation,
    "pristine": PristineRule,
    "noise": NoiseRule,
    "majority": MajorityRule,
    "cut": Cut,
    "upsampling": Upsampling,
}


def _check(ok: bool, name: str, wanted: str) -> None:
    if not ok:
        raise ConfigError(f"focal: {name} must be {wanted}")


PRESETS: dict[str, FocalConfig] = {
    "default": FocalConfig(),
    "locate": FocalConfig(image_threshold=0.0, views=3),
    "fast": FocalConfig(network_pixels=262_144),
    "as-released": FocalConfig(
        geometry="square", clustering="kmeans", pristine="released", copies=False, max_points=0
    ),
    "as-published": FocalConfig(
        geometry="square",
        clustering="hdbscan",
        copies=False,
        min_cluster_size=200,
        pristine="largest",
        noise="forged-cluster",
        upsampling="nearest",
        max_points=0,
    ),
}


SHIPPED_PRESETS = ("default", "locate", "fast")
"""Those that use the weights that ship."""


def resolve(preset: str, overrides: dict[str, Any]) -> FocalConfig:
    """A preset with single fields replaced; see `resolve_options`."""
    return resolve_options("focal", PRESETS, preset, overrides)
