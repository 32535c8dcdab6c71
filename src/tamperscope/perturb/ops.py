"""The operations themselves. Compression goes through Pillow, so that a quality means what libjpeg
and libwebp mean by it.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.errors import ImageValueError

Array = NDArray[np.uint8]

_INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
    "area": cv2.INTER_AREA,
}
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "area"]


@contextmanager
def _refusing(codec: str, source: PILImage.Image) -> Iterator[None]:
    """A codec's own error as a reason to leave the picture out."""
    try:
        yield
    except (ValueError, OSError) as error:
        w, h = source.size
        raise ImageValueError(f"{w} x {h} pixels cannot be saved as {codec} ({error})") from error


def jpeg(
    image: Array,
    quality: int,
    *,
    subsampling: Literal[0, 1, 2] = 2,
    offset: tuple[int, int] = (0, 0),
    tables: list[list[int]] | None = None,
) -> Array:
    """Compress and decompress as JPEG.

    Args:
        image: RGB uint8 (h, w, 3).
        quality: 1 (worst) to 100; ignored when ``tables`` is given.
        subsampling: 0 = 4:4:4, 1 = 4:2:2, 2 = 4:2:0.
        offset: rows and columns (0-7) by which the 8x8 block grid is shifted against the picture's
            corner.
        tables: two quantization tables of 64 values each (luminance, chrominance) in place of
            libjpeg's.

    Raises:
        ImageValueError: a side longer than JPEG has room for.
    """
    oy, ox = offset
    padded = np.pad(image, ((oy, 0), (ox, 0), (0, 0)), mode="edge") if oy or ox else image
    buffer = io.BytesIO()
    source = PILImage.fromarray(np.ascontiguousarray(padded))
    options: dict[str, Any] = {"quality": quality} if tables is None else {"qtables": tables}
    with _refusing("JPEG", source):
        source.save(buffer, "JPEG", subsampling=subsampling, **options)
    decoded = np.asarray(PILImage.open(buffer).convert("RGB"))
    return np.ascontiguousarray(decoded[oy:, ox:])


def webp(image: Array, quality: int) -> Array:
    """Compress and decompress as lossy WebP of ``quality`` 1-100; RGB uint8 (h, w, 3).

    Raises:
        ImageValueError: a side longer than WebP has room for.
    """
    buffer = io.BytesIO()
    source = PILImage.fromarray(np.ascontiguousarray(image))
    with _refusing("WebP", source):
        source.save(buffer, "WEBP", quality=quality, method=2)
    return np.ascontiguousarray(np.asarray(PILImage.open(buffer).convert("RGB")))


def resize(image: Array, size: tuple[int, int], interpolation: Interpolation = "bicubic") -> Array:
    """Resample to ``size`` = (h, w) pixels; the array may be RGB (h, w, 3) or one plane (h, w)."""
    h, w = max(1, size[0]), max(1, size[1])
    return cast(Array, cv2.resize(image, (w, h), interpolation=_INTERPOLATION[interpolation]))


def blur(image: Array, sigma: float) -> Array:
    """Gaussian blur of standard deviation ``sigma`` pixels."""
    return cast(Array, cv2.GaussianBlur(image, (0, 0), max(sigma, 1e-3)))


def blur_kernel(image: Array, size: int, sigma: float = 0.0) -> Array:
    """Gaussian blur with a kernel of ``size`` x ``size`` (odd) pixels.

    ``sigma`` 0 takes OpenCV's rule, 0.3 ((size - 1) / 2 - 1) + 0.8 pixels, as most robustness
    tables of the field do without saying so.
    """
    return cast(Array, cv2.GaussianBlur(image, (size, size), sigma))


def local_median(image: Array, size: int = 3) -> Array:
    """Median filter of ``size`` x ``size`` (odd) pixels, the classic denoiser."""
    return cast(Array, cv2.medianBlur(image, size))


def sharpen(image: Array, amount: float, sigma: float = 1.0) -> Array:
    """Unsharp mask: image + ``amount`` x (image - blurred)."""
    return cast(Array, cv2.addWeighted(image, 1.0 + amount, blur(image, sigma), -amount, 0.0))


def add_noise(
    image: Array, sigma: float, rng: np.random.Generator, *, shot: float = 0.0, grain: float = 0.0
) -> Array:
    """Add Gaussian sensor noise.

    Args:
        image: RGB uint8 (h, w, 3).
        sigma: standard deviation in grey levels (0-255) in the darkest parts.
        rng: the source of randomness.
        shot: growth of the variance with intensity, in grey levels of variance per grey level.
        grain: spatial correlation: standard deviation in pixels of a blur of the noise field (its
            power is restored).
    """
    field = rng.standard_normal(image.shape, dtype=np.float32)
    if grain > 0:
        field = np.asarray(cv2.GaussianBlur(field, (0, 0), grain), np.float32)
        field /= max(float(field.std()), 1e-6)
    x = image.astype(np.float32)
    out = x + field * np.sqrt(sigma * sigma + shot * x)
    return cast(Array, np.clip(np.rint(out), 0, 255).astype(np.uint8))


def adjust_tone(
    image: Array,
    *,
    gamma: float = 1.0,
    gain: float = 1.0,
    bias: float = 0.0,
    saturation: float = 1.0,
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Array:
    """Gamma, contrast (``gain``), brightness (``bias`` in grey levels), saturation and white
    balance, in this order.
    """
    levels = np.arange(256, dtype=np.float32) / 255.0
    curve = (np.power(levels, gamma) - 0.5) * gain + 0.5 + bias / 255.0
    table = np.clip(curve[:, None] * np.asarray(balance, np.float32), 0, 1) * 255.0
    lut = np.rint(table).astype(np.uint8)
    out = np.empty_like(image)
    for c in range(3):
        out[..., c] = lut[:, c][image[..., c]]
    if saturation != 1.0:
        grey = out @ np.array([0.299, 0.587, 0.114], np.float32)
        mixed = grey[..., None] + saturation * (out - grey[..., None])
        out = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return out
