"""What a network says of one picture: its map, its label, and the features under the map."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tamperscope.attribution import grad_cam, heat_map
from tamperscope.methods.dolos.network import AttentionNetwork, DolosNetwork, GradCamNetwork

FAKE = 1


@dataclass(frozen=True, eq=False)
class DolosMap:
    """One picture's answer.

    Attributes:
        scores: float32 (h, w) in [0, 1], higher = more likely fake, on the network's own grid;
            Grad-CAM from labels: the heat map, of the size of the network's input.
        cells: (rows, columns) of the grid that the map was made on, also for Grad-CAM.
        label: float (2,) logits of real and fake, or None for networks without a label.
        features: float32 (rows, columns, C), what the map was made of.
        saliency: the map orders the places of one picture, and is no probability.
    """

    scores: NDArray[np.float32]
    cells: tuple[int, int]
    label: NDArray[np.float64] | None
    features: NDArray[np.float32]
    saliency: bool


def answer(
    network: DolosNetwork, x: Tensor, *, device: torch.device, dtype: torch.dtype
) -> DolosMap:
    """Run a network, in evaluation mode, on one prepared picture (3, size, size)."""
    batch = x[None].to(device)
    if isinstance(network, GradCamNetwork):
        return _explained(network, batch, dtype)
    with torch.inference_mode(), _reduced(device, dtype):
        if isinstance(network, AttentionNetwork) and network.supervision == "full":
            # Training from masks leaves the label behind the map as it was: not worth computing.
            features = network.xception.features(batch, until=network.feature_block)
            outputs = {"mask_logits": network.mask_logits(features)}
        else:
            features, outputs = network.features_and_outputs(batch)
    if "map_logits" in outputs:
        fake = outputs["map_logits"].float().softmax(1)[0, FAKE]
    else:
        fake = outputs["mask_logits"].float().sigmoid()[0, 0]
    scores = fake.cpu().numpy()
    return DolosMap(
        scores=scores,
        cells=(scores.shape[0], scores.shape[1]),
        label=_label(outputs.get("label_logits")),
        features=_last_axis(features),
        saliency=False,
    )


def _explained(network: GradCamNetwork, batch: Tensor, dtype: torch.dtype) -> DolosMap:
    def run(x: Tensor) -> dict[str, Tensor]:
        with _reduced(x.device, dtype):
            outputs: dict[str, Tensor] = network(x)
        return outputs

    found = grad_cam(
        run,
        network.xception.block(network.feature_block),
        batch,
        lambda outputs: outputs["label_logits"][:, FAKE],
    )
    cam = found.cam[0].cpu().numpy()
    return DolosMap(
        scores=heat_map(cam, (batch.shape[2], batch.shape[3])),
        cells=(cam.shape[0], cam.shape[1]),
        label=_label(found.output["label_logits"]),
        features=_last_axis(found.activation),
        saliency=True,
    )


def _reduced(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def _label(logits: Tensor | None) -> NDArray[np.float64] | None:
    return None if logits is None else logits[0].detach().double().cpu().numpy()


def _last_axis(features: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(features[0].float().permute(1, 2, 0).cpu().numpy())
