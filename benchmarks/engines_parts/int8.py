"""An exported network with int8 weights and activations: which layers, and how it is done."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from PIL import Image as PILImage

from tamperscope import Image

# Parts of the names of weights: layers with one of these stay in fp32.
_PHASES = ("high_pass", "phase.", "BlockPhase")
_ENDS = ("stem", "projection.", "evidence.", "conv1.", "head.")
_EDGES = (*_ENDS, "lateral2", "merge2", "phase_in", "stage1", "conv2.", "block1.")

VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "all": ("static", _PHASES),
    "inner": ("static", (*_PHASES, *_ENDS)),
    "core": ("static", (*_PHASES, *_EDGES)),
    "matmul": ("dynamic", ()),
}
"""Name -> static (QDQ, activations calibrated) or dynamic (matrix products alone), and what stays
in fp32: the input's own analyses always; then the first and last layers; then what is near them."""


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, pictures: Iterable[np.ndarray]) -> None:
        self._fed = iter([{name: picture} for picture in pictures])

    def get_next(self) -> Any:
        """The next picture as the runtime takes it, or None."""
        return next(self._fed, None)


def write_int8(source: Path, target: Path, variant: str, pictures: Sequence[Image]) -> Path:
    """One variant of an exported network; its metadata is kept, with ``precision`` set to int8."""
    way, fp32 = VARIANTS[variant]
    model = onnx.load(source)
    notes = {entry.key: entry.value for entry in model.metadata_props}
    if way == "dynamic":
        quantize_dynamic(source, target, op_types_to_quantize=["MatMul"], per_channel=True)
    else:
        excluded = [node.name for node in model.graph.node if _kept(node.input, fp32)]
        name = model.graph.input[0].name
        quantize_static(
            source,
            target,
            _Pictures(name, [_prepared(p, notes["input_values"]) for p in pictures]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=excluded,
        )
    made = onnx.load(target)
    onnx.helper.set_model_props(made, {**notes, "precision": f"int8-{variant}"})
    onnx.save(made, target)
    return target


def _kept(inputs: Sequence[str], parts: Sequence[str]) -> bool:
    return any(part in name for name in inputs for part in parts)


def _prepared(picture: Image, values: str) -> np.ndarray:
    if values == "RGB / 255":
        return np.asarray(picture.pixels, np.float32).transpose(2, 0, 1)[None] / np.float32(255)
    squeezed = PILImage.fromarray(picture.pixels).resize((299, 299))
    return np.asarray(squeezed, np.float32).transpose(2, 0, 1)[None] / np.float32(127.5) - 1
