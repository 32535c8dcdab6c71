"""Grey-scale fakeness maps: how much every pixel of a face was changed, without a threshold.

FakeLocator (Huang et al., IEEE TIFS 2022) learns the grey difference of a fake and the picture it
was made from. The paper leaves open whether the difference or the pictures are made grey, so both
orders and the plain mean are offered; the differences between them are small.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ImageValueError, unknown

FakenessKind = Literal["gray-of-difference", "difference-of-gray", "mean-difference"]
FAKENESS_KINDS: tuple[FakenessKind, ...] = get_args(FakenessKind)

# ITU-R BT.601 luma of red, green and blue.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def _gray_of_difference(
    real: NDArray[np.float32], fake: NDArray[np.float32]
) -> NDArray[np.float32]:
    gray: NDArray[np.float32] = np.abs(fake - real) @ _LUMA
    return gray


def _difference_of_gray(
    real: NDArray[np.float32], fake: NDArray[np.float32]
) -> NDArray[np.float32]:
    gray: NDArray[np.float32] = np.abs((fake - real) @ _LUMA)
    return gray


def _mean_difference(real: NDArray[np.float32], fake: NDArray[np.float32]) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = np.abs(fake - real).mean(axis=2, dtype=np.float32)
    return mean


_Measure = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
_MEASURES: Mapping[str, _Measure] = MappingProxyType(
    {
        "gray-of-difference": _gray_of_difference,
        "difference-of-gray": _difference_of_gray,
        "mean-difference": _mean_difference,
    }
)


def fakeness_map(
    real: NDArray[np.uint8] | None,
    fake: NDArray[np.uint8] | None,
    *,
    kind: FakenessKind = "gray-of-difference",
) -> NDArray[np.float32]:
    """The fakeness of every pixel: grey |real - fake| / 255.

    Args:
        real: (h, w, 3) uint8 RGB, the picture before the change; None for a wholly generated
            picture, which was made from no other.
        fake: (h, w, 3) uint8 RGB, the picture after it; None for a real picture.
        kind: ``gray-of-difference``: luma (.299, .587, .114) of the difference per channel;
            ``difference-of-gray``: difference of the two lumas; ``mean-difference``: mean of the
            differences of the three channels.

    Returns:
        (h, w) float32 in [0, 1]. Zero everywhere without a fake, one everywhere without a real.

    Raises:
        ImageValueError: arrays of another type or shape, of two sizes, or neither of them.
        UnknownNameError: another kind.
    """
    if kind not in _MEASURES:
        raise unknown("kind of fakeness map", kind, FAKENESS_KINDS)
    for name, pixels in (("real", real), ("fake", fake)):
        _check(name, pixels)
    if real is None:
        if fake is None:
            raise ImageValueError("a fakeness map needs a picture: give the real one or the fake")
        return np.ones(fake.shape[:2], np.float32)
    if fake is None:
        return np.zeros(real.shape[:2], np.float32)
    if real.shape != fake.shape:
        raise ImageValueError(
            f"the real picture has {real.shape[0]} x {real.shape[1]} pixels and the fake "
            f"{fake.shape[0]} x {fake.shape[1]}: bring the real one to the fake's crop and size"
        )
    measured = _MEASURES[kind](real.astype(np.float32), fake.astype(np.float32))
    made: NDArray[np.float32] = np.clip(measured / np.float32(255), 0, 1)
    return made


def _check(name: str, pixels: NDArray[np.uint8] | None) -> None:
    if pixels is None:
        return
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        what = getattr(pixels, "dtype", type(pixels).__name__)
        raise ImageValueError(f"the {name} picture must be uint8 (h, w, 3), not {what}")
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ImageValueError(f"the {name} picture must be (h, w, 3) RGB, not {pixels.shape}")
