"""What a network says of one picture: its map, its label, and the features under the map."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tamperscope.attribution import grad_cam, heat_map
from tamperscope.engines import Runner
from tamperscope.engines.precision import computing
from tamperscope.methods.dolos.network import DolosNetwork, GradCamNetwork

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
    network: DolosNetwork | Runner, x: Tensor, *, device: torch.device, dtype: torch.dtype
) -> DolosMap:
    """Run a network, in evaluation mode, or what stands in for it, on one prepared picture
    (3, size, size)."""
    batch = x[None].to(device)
    if isinstance(network, GradCamNetwork):
        outputs = _explained(network, batch, dtype)
    else:
        with torch.inference_mode(), computing(device, dtype):
            outputs = network(batch) if isinstance(network, Runner) else network.deciding(batch)
    if "cam" in outputs:
        cam = outputs["cam"][0].cpu().numpy()
        size = (batch.shape[2], batch.shape[3])
        return _map(heat_map(cam, size), (cam.shape[0], cam.shape[1]), outputs, saliency=True)
    if "map_logits" in outputs:
        fake = outputs["map_logits"].float().softmax(1)[0, FAKE]
    else:
        fake = outputs["mask_logits"].float().sigmoid()[0, 0]
    scores = fake.cpu().numpy()
    return _map(scores, (scores.shape[0], scores.shape[1]), outputs, saliency=False)


def _map(
    scores: NDArray[np.float32],
    cells: tuple[int, int],
    outputs: Mapping[str, Tensor],
    *,
    saliency: bool,
) -> DolosMap:
    return DolosMap(
        scores=scores,
        cells=cells,
        label=_label(outputs.get("label_logits")),
        features=_last_axis(outputs["features"]),
        saliency=saliency,
    )


def _explained(network: GradCamNetwork, batch: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    def run(x: Tensor) -> dict[str, Tensor]:
        with computing(x.device, dtype):
            outputs: dict[str, Tensor] = network(x)
        return outputs

    # The way back is computed out here.
    with computing(batch.device, torch.float32):
        found = grad_cam(
            run,
            network.xception.block(network.feature_block),
            batch,
            lambda outputs: outputs["label_logits"][:, FAKE],
        )
    label = found.output["label_logits"]
    return {"features": found.activation, "cam": found.cam, "label_logits": label}


def _label(logits: Tensor | None) -> NDArray[np.float64] | None:
    return None if logits is None else logits[0].detach().cpu().double().numpy()


def _last_axis(features: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(features[0].float().permute(1, 2, 0).cpu().numpy())
