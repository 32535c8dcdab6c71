"""SegFormer (Xie et al., NeurIPS 2021, arXiv:2105.15203) for face parts, through transformers."""

import hashlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tamperscope.errors import MissingExtraError, WeightsError, WeightsNotFoundError
from tamperscope.face_parsing.bisenet import MEAN, STD
from tamperscope.face_parsing.networks import NetworkParser
from tamperscope.face_parsing.parts import PARTS
from tamperscope.face_parsing.preprocess import squeeze

if TYPE_CHECKING:
    from transformers import SegformerForSemanticSegmentation

DEFAULT_MODEL = "jonathandinu/face-parsing"
"""A SegFormer-B5 trained on CelebAMask-HQ; 340 MB."""
_DEFAULT_SIZE = 512


def load_segformer(
    model: str = DEFAULT_MODEL, *, device: torch.device | str = "cpu"
) -> NetworkParser:
    """A face parser from a folder or from the Hugging Face hub, which downloads it once.

    Args:
        model: a folder that `save_pretrained` wrote, or ``owner/name`` on the hub. Its labels must
            carry the names of `PARTS`, in any order, or be 19 without names in that order.

    Raises:
        MissingExtraError: transformers is not installed.
        WeightsNotFoundError: no such folder or model, or the hub cannot be reached.
        WeightsError: it is no SegFormer for face parts.
    """
    try:
        from transformers import SegformerForSemanticSegmentation
    except ImportError as error:
        raise MissingExtraError(
            "SegFormer needs transformers: pip install 'tamperscope[segformer]'"
        ) from error
    try:
        network = SegformerForSemanticSegmentation.from_pretrained(model, use_safetensors=True)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsNotFoundError(
            f"no SegFormer {model!r} ({reason}): give a folder with config.json and "
            "model.safetensors, or owner/name of a model on the Hugging Face hub"
        ) from error
    names = _part_names(network, model)
    size, mean, std = _preprocessing(model)

    def prepare(pixels: NDArray[np.uint8]) -> Tensor:
        return (squeeze(pixels, size) * 0.5 + 0.5 - mean) / std

    return NetworkParser(
        _Logits(network),
        prepare,
        names=names,
        weights={f"segformer:{model}": _digest(network)},
        device=device,
    )


class _Logits(nn.Module):
    def __init__(self, network: "SegformerForSemanticSegmentation") -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, n, h, w) at the resolution of ``x``; the network's own have a quarter."""
        logits: Tensor = self.network(pixel_values=x).logits
        return nn.functional.interpolate(logits, size=x.shape[-2:], mode="bilinear")


def _part_names(network: "SegformerForSemanticSegmentation", model: str) -> tuple[str, ...]:
    labels: Any = network.config.id2label
    names = tuple(str(labels[i]).strip().lower() for i in range(len(labels)))
    if names == tuple(f"label_{i}" for i in range(len(PARTS))):
        return PARTS
    foreign = [name for name in names if name not in PARTS]
    if foreign:
        raise WeightsError(
            f"{model} labels {', '.join(foreign[:4])}, which are no parts of a face: give a model "
            f"whose labels are {', '.join(PARTS)}"
        )
    return names


def _preprocessing(model: str) -> tuple[int, Tensor, Tensor]:
    """Side, mean and standard deviation that the model's own image processor uses."""
    from transformers import SegformerImageProcessor

    try:
        processor: Any = SegformerImageProcessor.from_pretrained(model)
    except (OSError, ValueError):
        size, mean, std = _DEFAULT_SIZE, MEAN, STD
    else:
        size, mean, std = processor.size["height"], processor.image_mean, processor.image_std
    return int(size), _column(mean), _column(std)


def _column(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]


def _digest(network: nn.Module) -> str:
    """sha256 over the tensors in the order of their names: the files of a hub model are its own."""
    found = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        found.update(os.fsencode(name))
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
