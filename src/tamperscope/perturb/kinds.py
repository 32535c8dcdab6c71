"""The single perturbations: their parameters, what they do, and how the forged region moves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ConfigError
from tamperscope.perturb import networks, ops

Array = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Value = int | float | str
Values = Mapping[str, Any]
"""Parameter values by name."""

Apply = Callable[[Array, Values, np.random.Generator], Array]
Move = Callable[[Mask, Values, np.random.Generator], Mask]

UNMOVED = "the truth mask stays as it is"
SCALED = (
    "the truth mask is scaled alike: a pixel is forged where at least half of its area was "
    "(nearest pixel when enlarging)"
)
CUT = "the truth mask is cut by the same window"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter: its type, range (both ends count) or choices; required without a default."""

    name: str
    meaning: str
    kind: type[int] | type[float] | type[str] = int
    low: float = -np.inf
    high: float = np.inf
    choices: tuple[str, ...] = ()
    odd: bool = False
    default: Value | None = None

    def read(self, text: str) -> Value:
        """The value written as ``text``; ConfigError says what would be right."""
        if self.choices:
            if text in self.choices:
                return text
            raise ConfigError(f"{self.name} is {text!r}: give {' or '.join(self.choices)}")
        try:
            value: Value = self.kind(text)
        except ValueError:
            wanted = "a whole number" if self.kind is int else "a number"
            raise ConfigError(f"{self.name} is {text!r}: give {wanted}") from None
        if not self.low <= cast(float, value) <= self.high:
            raise ConfigError(f"{self.name} is {text}: give {self.low:g} to {self.high:g}")
        if self.odd and cast(int, value) % 2 == 0:
            raise ConfigError(f"{self.name} is {text}: give an odd number")
        return value


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A named perturbation.

    Attributes:
        name: as it is written in a spec.
        summary: what it does, exactly.
        parameters: in the order in which a spec gives them.
        mask: how the truth mask moves, in words.
        apply: RGB uint8 (h, w, 3) to the same, perhaps of another size.
        move: the same for the truth mask bool (h, w); None where it stays.
        model: whether it imitates what others do behind closed doors.
        axis: the parameter that curves are drawn over, if any.
    """

    name: str
    summary: str
    apply: Apply
    parameters: tuple[Parameter, ...] = ()
    mask: str = UNMOVED
    move: Move | None = None
    model: bool = False
    axis: str | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Fixed numbers behind the summary, for records."""


def majority(mask: Mask, size: tuple[int, int]) -> Mask:
    """A mask bool (h, w) at another size: forged where at least half of the area was."""
    grey = np.where(mask, np.uint8(255), np.uint8(0))
    smaller = size[0] <= mask.shape[0] and size[1] <= mask.shape[1]
    return np.asarray(ops.resize(grey, size, "area" if smaller else "nearest") >= 128)


def _scaled(size: tuple[int, ...], factor: float) -> tuple[int, int]:
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _sampling(factor: float) -> ops.Interpolation:
    return "area" if factor < 1 else "bicubic"


def _resize(image: Array, values: Values, rng: np.random.Generator) -> Array:
    name = values["interpolation"]
    how = _sampling(values["factor"]) if name == "auto" else cast(ops.Interpolation, name)
    return ops.resize(image, _scaled(image.shape, values["factor"]), how)


def _low_resolution(image: Array, values: Values, rng: np.random.Generator) -> Array:
    small = ops.resize(image, _scaled(image.shape, values["factor"]), "area")
    return ops.resize(small, (image.shape[0], image.shape[1]), "bicubic")


def window(size: tuple[int, ...], share: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a window with ``share`` of each side, at a place drawn from ``rng``."""
    h, w = _scaled(size, share)
    top, left = int(rng.integers(size[0] - h + 1)), int(rng.integers(size[1] - w + 1))
    return slice(top, top + h), slice(left, left + w)


def _crop(image: Array, values: Values, rng: np.random.Generator) -> Array:
    return np.ascontiguousarray(image[window(image.shape, values["share"], rng)])


def _crop_mask(mask: Mask, values: Values, rng: np.random.Generator) -> Mask:
    return np.ascontiguousarray(mask[window(mask.shape, values["share"], rng)])


_SUBSAMPLING: Mapping[str, Any] = {"444": 0, "422": 1, "420": 2}


def _jpeg(image: Array, values: Values, rng: np.random.Generator) -> Array:
    subsampling = _SUBSAMPLING[values["subsampling"]]
    return ops.jpeg(image, values["quality"], subsampling=subsampling)


def _double_jpeg(image: Array, values: Values, rng: np.random.Generator) -> Array:
    once = ops.jpeg(image, values["first"], offset=(values["down"], values["right"]))
    return ops.jpeg(once, values["second"])


def _noise(image: Array, values: Values, rng: np.random.Generator) -> Array:
    return ops.add_noise(image, float(values["variance"]) ** 0.5, rng)


def _screenshot(image: Array, values: Values, rng: np.random.Generator) -> Array:
    size = networks.fit_box(image.shape, (values["height"], values["width"]), enlarge=True)
    return ops.resize(image, size, "bilinear")


def _screenshot_mask(mask: Mask, values: Values, rng: np.random.Generator) -> Mask:
    return majority(
        mask, networks.fit_box(mask.shape, (values["height"], values["width"]), enlarge=True)
    )


def _quality(name: str = "quality") -> Parameter:
    return Parameter(name=name, meaning="1 (worst) to 100", low=1, high=100)


def _network_kind(network: networks.Network) -> Kind:
    def move(mask: Mask, values: Values, rng: np.random.Generator) -> Mask:
        size = network.size(mask.shape)
        return mask if size == mask.shape else majority(mask, size)

    return Kind(
        name=network.name,
        summary=network.summary(),
        apply=lambda image, values, rng: network.apply(image),
        mask=SCALED,
        move=move,
        model=True,
        constants=network.describe(),
    )


_OWN = (
    Kind(
        name="jpeg",
        summary="JPEG compression by libjpeg at a quality, chroma 4:2:0 unless said otherwise",
        apply=_jpeg,
        parameters=(
            _quality(),
            Parameter(
                name="subsampling",
                meaning="of chroma",
                kind=str,
                choices=("444", "422", "420"),
                default="420",
            ),
        ),
        axis="quality",
    ),
    Kind(
        name="double-jpeg",
        summary=(
            "JPEG at one quality, then at another (4:2:0); the first on a block grid shifted by "
            "down, right pixels, as after a crop; 0, 0 is aligned"
        ),
        apply=_double_jpeg,
        parameters=(
            _quality("first"),
            _quality("second"),
            Parameter(name="down", meaning="shift in pixels", low=0, high=7, default=0),
            Parameter(name="right", meaning="shift in pixels", low=0, high=7, default=0),
        ),
    ),
    Kind(
        name="webp",
        summary="lossy WebP compression by libwebp at a quality",
        apply=lambda image, values, rng: ops.webp(image, values["quality"]),
        parameters=(_quality(),),
        axis="quality",
    ),
    Kind(
        name="blur",
        summary="Gaussian blur with a kernel of size x size pixels; sigma 0: 0.15 size + 0.35",
        apply=lambda image, values, rng: ops.blur_kernel(image, values["size"], values["sigma"]),
        parameters=(
            Parameter(name="size", meaning="pixels, odd", low=3, high=99, odd=True),
            Parameter(name="sigma", meaning="pixels", kind=float, low=0, high=50, default=0.0),
        ),
        axis="size",
    ),
    Kind(
        name="noise",
        summary="Gaussian noise of a variance in squared grey levels (0-255), drawn from the seed",
        apply=_noise,
        parameters=(
            Parameter(name="variance", meaning="grey levels^2", kind=float, low=0, high=10000),
        ),
        axis="variance",
    ),
    Kind(
        name="resize",
        summary=(
            "both sides scaled by a factor: area averaging below 1, bicubic above, or as named"
        ),
        apply=_resize,
        parameters=(
            Parameter(name="factor", meaning="of each side", kind=float, low=0.02, high=8),
            Parameter(
                name="interpolation",
                meaning="how to sample",
                kind=str,
                choices=("auto", "nearest", "bilinear", "bicubic", "lanczos", "area"),
                default="auto",
            ),
        ),
        mask=SCALED,
        move=lambda mask, values, rng: majority(mask, _scaled(mask.shape, values["factor"])),
        axis="factor",
    ),
    Kind(
        name="lowres",
        summary="scaled down by a factor (area averaging) and back up to its size (bicubic)",
        apply=_low_resolution,
        parameters=(
            Parameter(name="factor", meaning="of each side", kind=float, low=0.02, high=1),
        ),
        axis="factor",
    ),
    Kind(
        name="crop",
        summary="a window with a share of each side, at a place drawn from the seed",
        apply=_crop,
        parameters=(Parameter(name="share", meaning="of each side", kind=float, low=0.05, high=1),),
        mask=CUT,
        move=_crop_mask,
        axis="share",
    ),
    Kind(
        name="screenshot",
        summary=(
            "shown as large as fits into width x height pixels (bilinear, larger or smaller) and "
            "captured without loss: a model of a viewer at full screen, without its frame"
        ),
        apply=_screenshot,
        parameters=(
            Parameter(name="width", meaning="pixels", low=16, high=16384, default=1280),
            Parameter(name="height", meaning="pixels", low=16, high=16384, default=720),
        ),
        mask=SCALED,
        move=_screenshot_mask,
        model=True,
    ),
)

PERTURBATIONS: MappingProxyType[str, Kind] = MappingProxyType(
    {kind.name: kind for kind in (*_OWN, *map(_network_kind, networks.NETWORKS))}
)
"""Every perturbation by name."""
