"""Running a network on one picture after another, and its weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tamperscope.data.generators.base import picture_seed
from tamperscope.errors import WeightsMismatchError, WeightsNotFoundError

SHIPPED = Path(__file__).parent / "weights"

Painter = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""(1, 3, H, W) picture in [-1, 1], (1, 1, H, W) mask, random numbers -> (1, 3, H, W)."""


def weights_file(name: str, weights: str | Path | None) -> Path:
    """The file given, or the shipped one of that name.

    Raises:
        WeightsNotFoundError: there is no such file.
    """
    path = Path(weights) if weights is not None else SHIPPED / f"{name}.safetensors"
    if not path.is_file():
        raise WeightsNotFoundError(
            f"no weights for generator {name!r} at {path}: train them with"
            f" 'python -m tamperscope.train.generators generator-{name}', or give their file"
        )
    return path


def load_network(network: nn.Module, path: Path) -> nn.Module:
    """Put a safetensors file into ``network``, in eval mode and without gradients.

    Raises:
        WeightsMismatchError: not such a file, or weights of another network.
    """
    try:
        state = load_file(path)
        network.load_state_dict({name: value.float() for name, value in state.items()})
    except SafetensorError as error:
        raise WeightsMismatchError(f"{path} is not a safetensors file: {error}") from error
    except RuntimeError as error:
        lines = str(error).splitlines()
        detail = lines[1].strip() if len(lines) > 1 else lines[0]
        raise WeightsMismatchError(
            f"{path} holds weights of another network than {type(network).__name__} ({detail})"
        ) from error
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def paint_each(
    images: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    paint: Painter,
    *,
    seed: int,
    stride: int,
    device: torch.device,
) -> NDArray[np.uint8]:
    """Run ``paint`` on one picture at a time.

    One at a time, because convolutions may add in another order in another batch size, and then
    a rounded pixel would depend on its neighbours in the batch.

    Args:
        images: (B, h, w, 3) uint8.
        masks: (B, h, w) bool.
        paint: see `Painter`; it gets sizes that are multiples of ``stride`` (edges repeated).
        seed: the caller's seed; each picture gets its own random numbers from it.
        stride: see ``paint``.
        device: where ``paint`` runs.
    """
    outputs = np.empty_like(images)
    for index, (pixels, mask) in enumerate(zip(images, masks, strict=True)):
        height, width = mask.shape
        bottom, right = -height % stride, -width % stride
        edge = cv2.BORDER_REPLICATE
        wide = cv2.copyMakeBorder(pixels, 0, bottom, 0, right, edge)
        wide_mask = cv2.copyMakeBorder(mask.astype(np.uint8), 0, bottom, 0, right, edge)
        x = torch.from_numpy(wide).permute(2, 0, 1)[None].float().div_(127.5).sub_(1)
        m = torch.from_numpy(wide_mask)[None, None].float()
        generator = torch.Generator().manual_seed(picture_seed(pixels, seed))
        y = paint(x.to(device), m.to(device), generator)[0].float().cpu()
        y = y.add_(1).mul_(127.5).round_().clamp_(0, 255).byte().permute(1, 2, 0)
        outputs[index] = y.numpy()[:height, :width]
    return outputs


class PaintingNetwork(Protocol):
    """A network that re-creates pictures from themselves, a mask and noise it draws itself."""

    def __call__(self, pictures: Tensor, masks: Tensor, noise: Tensor, /) -> Tensor: ...
    def draw_noise(self, generator: torch.Generator, batch: int, height: int, width: int) -> Tensor:
        """The noise of pictures of this size."""


def paint_once(
    network: PaintingNetwork, picture: Tensor, mask: Tensor, generator: torch.Generator
) -> Tensor:
    """One pass of a network, as a `Painter` makes it."""
    noise = network.draw_noise(generator, 1, picture.shape[2], picture.shape[3])
    return network(picture, mask, noise.to(picture.device))


def match_border(
    image: NDArray[np.uint8], filled: NDArray[np.uint8], mask: NDArray[np.bool_], *, reach: float
) -> NDArray[np.uint8]:
    """Shift the colours of ``filled`` so that they meet ``image`` at the border of the mask.

    The difference of the two outside the mask is carried inwards by normalised convolution with
    a Gaussian of ``reach`` pixels and fades with the distance from the border: a cheap stand-in
    for Poisson blending (Perez et al., SIGGRAPH 2003) that leaves the texture alone.

    Args:
        image, filled: (h, w, 3) uint8.
        mask: (h, w) bool.
        reach: standard deviation in pixels.

    Returns:
        (h, w, 3) uint8; ``filled`` itself if the mask covers all or nothing.
    """
    if mask.all() or not mask.any():
        return filled
    known = (~mask).astype(np.float32)
    gap = (image.astype(np.float32) - filled.astype(np.float32)) * known[..., None]
    size = (0, 0)
    total = cv2.GaussianBlur(gap, size, reach, borderType=cv2.BORDER_REFLECT)
    weight = cv2.GaussianBlur(known, size, reach, borderType=cv2.BORDER_REFLECT)
    # Half the weight is outside right at a straight border; deep inside next to nothing is.
    strength = np.minimum(2 * weight, 1)
    shift = total / np.maximum(weight, 1e-4)[..., None] * strength[..., None]
    moved = np.clip(np.rint(filled.astype(np.float32) + shift), 0, 255).astype(np.uint8)
    return np.where(mask[..., None], moved, filled)


def match_mean(
    image: NDArray[np.uint8], filled: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Give the region of ``filled`` the mean colour that it has in ``image``.

    The means of a colour transfer (Reinhard et al., IEEE CG&A 2001), as face editors do: else a
    slight cast of a decoder would give its regions away at a glance.

    Args:
        image, filled: (h, w, 3) uint8.
        mask: (h, w) bool.

    Returns:
        (h, w, 3) uint8; ``filled`` itself outside the mask.
    """
    if not mask.any():
        return filled
    shift = image[mask].mean(axis=0) - filled[mask].mean(axis=0)
    moved = np.clip(np.rint(filled + shift), 0, 255).astype(np.uint8)
    return np.where(mask[..., None], moved, filled)
