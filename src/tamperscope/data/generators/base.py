"""What every generator of local manipulations offers, and the checks they share."""

import hashlib
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ConfigError, ImageValueError

Family = Literal["classical", "transposed", "nearest", "shuffle", "diffusion", "latent", "external"]
FAMILIES: tuple[Family, ...] = (
    "classical",
    "transposed",
    "nearest",
    "shuffle",
    "diffusion",
    "latent",
    "external",
)
"""How a generator makes pixels: what a detector trained on one family may not see in another."""


@runtime_checkable
class Generator(Protocol):
    """Fills a region of a picture with new content.

    Attributes:
        name: as in the registry, and as a folder name of a built set.
        family: one of `FAMILIES`.
        whole_image: True if the output differs from the input outside the mask too, because the
            whole picture passes through the generator's decoder.
    """

    name: str
    family: Family
    whole_image: bool

    def inpaint(
        self, images: NDArray[np.uint8], masks: NDArray[np.bool_], *, seed: int
    ) -> NDArray[np.uint8]:
        """Regenerate the masked region of every picture.

        The result for a picture follows from its pixels, its mask and ``seed`` alone, not from its
        neighbours in the batch.

        Args:
            images: (B, h, w, 3) uint8 RGB.
            masks: (B, h, w) bool, True where new content goes. An empty mask is allowed.
            seed: non-negative; 0 is as good as any other.

        Returns:
            (B, h, w, 3) uint8 RGB. Equal to ``images`` where the mask is False, unless
            ``whole_image``.

        Raises:
            ImageValueError: arrays of another type or shape.
            ConfigError: a negative seed, or a size the generator cannot take.
        """
        ...

    def regenerate(self, images: NDArray[np.uint8], *, seed: int) -> NDArray[np.uint8]:
        """Make every pixel of every picture anew (same shapes and promises as `inpaint`).

        Raises:
            ConfigError: this generator can only fill regions.
        """
        ...


def check_images(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``images`` unchanged if they are (B, h, w, 3) uint8 with at least one pixel each.

    Raises:
        ImageValueError: they are not.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        kind = getattr(images, "dtype", type(images).__name__)
        raise ImageValueError(f"pictures must be a uint8 array (B, h, w, 3), not {kind}")
    if images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
        raise ImageValueError(
            f"pictures must be (B, h, w, 3), not {images.shape}: stack RGB pictures of one size"
        )
    return images


def everywhere(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Masks (B, h, w) of all pixels of pictures (B, h, w, 3).

    Raises:
        ImageValueError: no such pictures.
    """
    return np.ones(check_images(images).shape[:3], dtype=np.bool_)


def check_masks(images: NDArray[np.uint8], masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``masks`` unchanged if they are bool and fit ``images``; see `Generator.inpaint`.

    Raises:
        ImageValueError: wrong type or shape of either.
    """
    check_images(images)
    if not isinstance(masks, np.ndarray) or masks.dtype != np.bool_:
        kind = getattr(masks, "dtype", type(masks).__name__)
        raise ImageValueError(f"masks must be a bool array (B, h, w), not {kind}")
    if masks.shape != images.shape[:3]:
        raise ImageValueError(
            f"masks {masks.shape} do not fit pictures {images.shape}: expected {images.shape[:3]}"
        )
    return masks


def check_seed(seed: int) -> int:
    """``seed`` unchanged if it is a non-negative integer.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"seed must be a non-negative integer, not {seed!r}")
    return int(seed)


def picture_seed(pixels: NDArray[np.uint8], seed: int) -> int:
    """A seed (63 bit) for one picture: its content and ``seed``, never its place in a batch.

    Args:
        pixels: (h, w, 3) uint8.
        seed: see `check_seed`.
    """
    digest = hashlib.sha256(f"{check_seed(seed)}/{pixels.shape}/".encode())
    digest.update(pixels.tobytes())
    return int.from_bytes(digest.digest()[:8], "little") >> 1


def keep_outside(
    images: NDArray[np.uint8], filled: NDArray[np.uint8], masks: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """``filled`` where the mask is True, the untouched picture elsewhere; (B, h, w, 3) uint8."""
    return np.where(masks[..., None], filled, images)


def only_regions(name: str) -> ConfigError:
    """The error of a generator that cannot regenerate a whole picture."""
    return ConfigError(
        f"generator {name!r} only fills regions: for whole pictures use one of"
        " transposed, nearest, shuffle, latent, diffusion"
    )
