"""What a picture went through before we meet it: random, but drawn as cameras, web sites and
editors do it.
"""

from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.Image import Resampling, fromarray

from tamperscope import perturb
from tamperscope.perturb.ops import Interpolation

Array = NDArray[np.uint8]
Subsampling = Literal[0, 1, 2]
_MOSAIC = 4
"""The least side that a mosaic of colours fits on."""


def _subsampling(rng: np.random.Generator) -> Subsampling:
    return cast(Subsampling, int(rng.choice([0, 1, 2], p=[0.35, 0.1, 0.55])))


def interpolation(rng: np.random.Generator) -> Interpolation:
    """A resampling kernel, the common ones more often."""
    names = ["bilinear", "bicubic", "lanczos", "nearest", "area"]
    return cast(Interpolation, str(rng.choice(names, p=[0.35, 0.4, 0.15, 0.03, 0.07])))


def compress_once(rng: np.random.Generator, image: Array, low: int = 55, high: int = 98) -> Array:
    """One JPEG generation at a random quality and a random position of the block grid."""
    offset = (int(rng.integers(8)), int(rng.integers(8)))
    quality = int(rng.integers(low, high + 1))
    return perturb.jpeg(image, quality, subsampling=_subsampling(rng), offset=offset)


def rescale(rng: np.random.Generator, image: Array, low: float, high: float) -> Array:
    """Resample by a factor log-uniform in [low, high]."""
    factor = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    h, w = image.shape[:2]
    size = (max(8, round(h * factor)), max(8, round(w * factor)))
    return perturb.resize(image, size, interpolation(rng))


def shrink(rng: np.random.Generator, image: Array, size: tuple[int, int]) -> Array:
    """Shrink to ``size`` (h, w) as web sites and data sets do: low-passed, so nothing aliases."""
    if rng.random() < 0.35:
        return perturb.resize(image, size, "area")
    kernels = (Resampling.BILINEAR, Resampling.BICUBIC, Resampling.LANCZOS)
    kernel = kernels[int(rng.integers(len(kernels)))]
    return np.asarray(fromarray(image).resize(size[::-1], kernel), np.uint8)


def tone(rng: np.random.Generator, image: Array, strength: float = 1.0) -> Array:
    """A small change of exposure, contrast, saturation and white balance."""
    s = strength
    balance = cast(
        tuple[float, float, float], tuple(float(v) for v in np.exp(rng.normal(0, 0.04 * s, 3)))
    )
    return perturb.adjust_tone(
        image,
        gamma=float(np.exp(rng.normal(0, 0.15 * s))),
        gain=float(np.exp(rng.normal(0, 0.1 * s))),
        bias=float(rng.normal(0, 8 * s)),
        saturation=float(np.exp(rng.normal(0, 0.2 * s))),
        balance=balance,
    )


def degrade(rng: np.random.Generator, image: Array) -> Array:
    """One trace-leaving operation that hardly changes the content: blur, noise, denoising,
    sharpening or a resize and back.
    """
    kind = rng.choice(["blur", "noise", "median", "sharpen", "resample", "jpeg"])
    if kind == "blur":
        return perturb.blur(image, float(rng.uniform(0.4, 1.6)))
    if kind == "noise":
        return perturb.add_noise(
            image,
            float(rng.uniform(1.5, 9)),
            rng,
            shot=float(rng.choice([0.0, 0.1, 0.3])),
            grain=float(rng.choice([0.0, 0.0, 0.6, 1.0])),
        )
    if kind == "median":
        return perturb.local_median(image, 3)
    if kind == "sharpen":
        return perturb.sharpen(image, float(rng.uniform(0.3, 1.5)), float(rng.uniform(0.6, 1.5)))
    if kind == "resample":
        h, w = image.shape[:2]
        small = rescale(rng, image, 0.45, 0.9)
        return perturb.resize(small, (h, w), interpolation(rng))
    return compress_once(rng, image, 40, 92)


def sensor(rng: np.random.Generator, image: Array) -> Array:
    """The picture as a camera would have taken it: Bayer mosaic, sensor noise, demosaicing, then
    often denoising.

    The traces are real where the picture was shrunk before, as a photo's own colours are mosaiced.
    """
    h, w = (s - s % 2 for s in image.shape[:2])
    if min(h, w) < _MOSAIC:
        return image
    noisy = perturb.add_noise(
        image[:h, :w], float(rng.uniform(0.3, 4.0)), rng, shot=float(rng.choice([0.0, 0.1, 0.2]))
    )
    mosaic = noisy[..., 1].copy()
    row, column = int(rng.integers(2)), int(rng.integers(2))
    mosaic[row::2, column::2] = noisy[row::2, column::2, 0]
    mosaic[1 - row :: 2, 1 - column :: 2] = noisy[1 - row :: 2, 1 - column :: 2, 2]
    # OpenCV names a pattern by the second row's second and third pixel.
    name = {(1, 1): "BG", (0, 0): "RG", (1, 0): "GB", (0, 1): "GR"}[(row, column)]
    kind = "_EA" if rng.random() < 0.5 else ""
    code = getattr(cv2, f"COLOR_Bayer{name}2BGR{kind}")
    out = image.copy()
    out[:h, :w] = cv2.cvtColor(mosaic, code)
    if rng.random() < 0.4:
        out = np.asarray(cv2.bilateralFilter(out, 5, float(rng.uniform(6, 20)), 1.5), np.uint8)
    return np.ascontiguousarray(out)


def camera_history(rng: np.random.Generator, image: Array, *, camera: float = 0.0) -> Array:
    """The past of a photo before it is edited: 0 to 2 mild operations, then usually a JPEG save;
    with the chance ``camera`` a sensor's traces first.
    """
    out = image
    if camera and rng.random() < camera:
        out = sensor(rng, out)
    if rng.random() < 0.25:
        out = tone(rng, out, 0.7)
    if rng.random() < 0.3:
        out = degrade(rng, out)
    if rng.random() < 0.7:
        out = perturb.jpeg(out, int(rng.integers(60, 99)), subsampling=_subsampling(rng))
    return out


def piece_history(rng: np.random.Generator, image: Array, *, camera: float = 0.0) -> Array:
    """The past of a pasted piece: another camera, another compression, and what the editor did to
    make it fit.
    """
    out = image
    if camera and rng.random() < camera:
        out = sensor(rng, out)
    if rng.random() < 0.4:
        out = degrade(rng, out)
    if rng.random() < 0.7:
        out = compress_once(rng, out)
    if rng.random() < 0.3:
        out = degrade(rng, out)
    if rng.random() < 0.35:
        out = tone(rng, out)
    return out


def last_save(
    rng: np.random.Generator, image: Array, *, strong: float = 0.18, lowest: int = 60
) -> Array:
    """What happens to the whole picture after the forgery: rarely a resize, then a save, mostly at
    quality 86-100, with the chance ``strong`` at ``lowest`` to 89.
    """
    out = image
    draw = rng.random()
    if draw < 0.08:
        h, w = out.shape[:2]
        out = perturb.resize(rescale(rng, out, 0.7, 1.4), (h, w), interpolation(rng))
    elif draw < 0.16:
        out = degrade(rng, out)
    draw = rng.random()
    if draw < 0.86 - strong:
        return _jpeg_save(rng, out, int(rng.integers(86, 101)))
    if draw < 0.86:
        return _jpeg_save(rng, out, int(rng.integers(lowest, 90)))
    if draw < 0.9:
        return perturb.webp(out, int(rng.integers(70, 100)))
    return out


def _jpeg_save(rng: np.random.Generator, image: Array, quality: int) -> Array:
    tables = None
    if rng.random() < 0.4:
        # Editors bring tables of their own, so the network must not learn libjpeg's by heart.
        tables = editor_tables(rng, quality)
    return perturb.jpeg(image, quality, subsampling=_subsampling(rng), tables=tables)


def editor_tables(rng: np.random.Generator, quality: int) -> list[list[int]]:
    """Two plausible quantization tables: steps grow with frequency at a random rate, about as
    strong as ``quality``.
    """
    scale = (5000 / quality if quality < 50 else 200 - 2 * quality) / 100
    u = np.add.outer(np.arange(8), np.arange(8)).astype(float)
    tables = []
    for base, rate in ((10, rng.uniform(3.0, 8.0)), (14, rng.uniform(5.0, 11.0))):
        steps = (base + rate * u) * scale * np.exp(rng.normal(0, 0.08, (8, 8)))
        tables.append([int(v) for v in np.clip(np.rint(steps), 1, 255).ravel()])
    return tables
