"""Inpainting networks exported to one file: ONNX or TorchScript, such as LaMa.

The convention is LaMa's (Suvorov et al., WACV 2022) and can be changed by options:

=================  ================================================================================
``image``          float (1, 3, h, w) RGB in [0, 1]: the picture with its region as it was
``mask``           float (1, 1, h, w), 1 where new content goes
output             float (1, 3, h, w) RGB in [0, 1]
=================  ================================================================================

Networks with one input get both side by side: (1, 4, h, w). Sides are padded to multiples of
``stride`` by repeating the edge, or the picture is brought to ``size`` and back.
"""

import os
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tamperscope.data.generators.base import (
    Family,
    check_images,
    check_masks,
    check_seed,
    keep_outside,
    only_regions,
)
from tamperscope.errors import (
    ConfigError,
    WeightsMismatchError,
    WeightsNotFoundError,
    missing_extra,
    unknown,
)

Range = Literal["unit", "signed", "byte"]
_RANGES: dict[str, tuple[float, float]] = {
    "unit": (255.0, 0.0),
    "signed": (127.5, 127.5),
    "byte": (1.0, 0.0),
}
"""Name -> (a, b) with level = a * value + b: [0, 1], [-1, 1] and [0, 255]."""


class _Exported(ABC):
    """What the two formats share: from pictures to the network's numbers and back."""

    family: Family = "external"
    whole_image = False

    def __init__(
        self,
        name: str,
        *,
        input_range: str,
        output_range: str,
        cut_out: bool,
        mask_known: bool,
        size: int | None,
        stride: int,
    ) -> None:
        for given in (input_range, output_range):
            if given not in _RANGES:
                raise unknown("range of values", given, _RANGES)
        for what, value in (("size", size), ("stride", stride)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ConfigError(f"{what} must be a positive whole number, not {value!r}")
        self.name = name
        self._input, self._output = input_range, output_range
        self._cut_out, self._mask_known = bool(cut_out), bool(mask_known)
        self._size, self._stride = size, stride

    @abstractmethod
    def _run(
        self, image: NDArray[np.float32], mask: NDArray[np.float32]
    ) -> NDArray[np.floating[Any]]:
        """Output for one picture: (1, 3, h, w)."""

    def inpaint(
        self, images: NDArray[np.uint8], masks: NDArray[np.bool_], *, seed: int
    ) -> NDArray[np.uint8]:
        """See `Generator.inpaint`; the seed has no effect.

        Raises:
            ConfigError: also if the network's output is not what was said of it.
        """
        check_masks(images, masks)
        check_seed(seed)
        filled = np.empty_like(images)
        for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
            filled[i] = self._fill(image, mask)
        return keep_outside(images, filled, masks)

    def regenerate(self, images: NDArray[np.uint8], *, seed: int) -> NDArray[np.uint8]:
        """Always raises: these networks continue what surrounds a region."""
        check_images(images)
        raise only_regions(self.name)

    def _fill(self, image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
        h, w = mask.shape
        picture, hole = self._to_network_size(image, mask.astype(np.uint8))
        scale, shift = _RANGES[self._input]
        values = (picture.astype(np.float32) - np.float32(shift)) / np.float32(scale)
        if self._cut_out:
            # The hole is zero as the network sees it, whatever its range.
            values = np.where(hole[..., None] > 0, np.float32(0), values)
        known = (1 - hole) if self._mask_known else hole
        made = self._run(
            np.ascontiguousarray(values.transpose(2, 0, 1)[None]),
            known.astype(np.float32)[None, None],
        )
        return self._from_network_size(self._levels(made, picture.shape), (h, w))

    def _to_network_size(
        self, image: NDArray[np.uint8], hole: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        if self._size is not None:
            side = (self._size, self._size)
            small = cv2.resize(image, side, interpolation=cv2.INTER_AREA)
            # Every pixel of the network's that touches the region is one to be filled.
            grown = cv2.resize(hole.astype(np.float32), side, interpolation=cv2.INTER_AREA) > 0
            return np.asarray(small, np.uint8), grown.astype(np.uint8)
        bottom, right = -image.shape[0] % self._stride, -image.shape[1] % self._stride
        edge = cv2.BORDER_REPLICATE
        wide = cv2.copyMakeBorder(image, 0, bottom, 0, right, edge)
        wide_hole = cv2.copyMakeBorder(hole, 0, bottom, 0, right, edge)
        return np.asarray(wide, np.uint8), np.asarray(wide_hole, np.uint8)

    def _from_network_size(
        self, made: NDArray[np.uint8], size: tuple[int, int]
    ) -> NDArray[np.uint8]:
        if self._size is None:
            return made[: size[0], : size[1]]
        back = cv2.resize(made, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
        return np.asarray(back, np.uint8)

    def _levels(self, made: NDArray[np.floating[Any]], shape: tuple[int, ...]) -> NDArray[np.uint8]:
        expected = (1, 3, *shape[:2])
        if made.shape != expected:
            raise ConfigError(
                f"generator {self.name!r} gave {made.shape} for a picture of {expected}: "
                "choose another output, or its size or stride"
            )
        largest = float(np.abs(made).max())
        if not np.isfinite(largest):
            raise ConfigError(f"generator {self.name!r} gave NaN or infinity: check the file")
        # Networks overshoot a little; a factor of ten is another range.
        if self._output != "byte" and largest > 10:
            raise ConfigError(
                f"generator {self.name!r} gave values up to {largest:.0f}, which is not "
                f"output_range={self._output}: set output_range=byte"
            )
        scale, shift = _RANGES[self._output]
        levels = np.clip(np.rint(made[0].astype(np.float32) * scale + shift), 0, 255)
        return np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0))


class OnnxGenerator(_Exported):
    """An inpainting network in an ONNX file, run by ``onnxruntime``."""

    def __init__(
        self,
        file: str | Path,
        *,
        device: str = "cpu",
        image_input: str | None = None,
        mask_input: str | None = None,
        output: str | None = None,
        input_range: Range = "unit",
        output_range: Range = "unit",
        cut_out: bool = False,
        mask_known: bool = False,
        size: int | None = None,
        stride: int = 8,
    ) -> None:
        """Load a network.

        Args:
            file: the ONNX file.
            device: ``cpu`` or ``cuda``.
            image_input, mask_input: names of the inputs; by default ``image`` and ``mask``, or the
                first and the second.
            output: name of the output; by default the first.
            input_range, output_range: ``unit`` [0, 1], ``signed`` [-1, 1] or ``byte`` [0, 255].
            cut_out: set the region to 0 in the input.
            mask_known: the mask is 1 where the picture is kept, not where it is filled.
            size: side of the square the network takes; by default what the file says, and where
                that leaves it open, the picture's own.
            stride: sides must be multiples of it (without ``size``).

        Raises:
            MissingExtraError: ``onnxruntime`` is not installed.
            WeightsNotFoundError, WeightsMismatchError: no such file, or not such a network.
            ConfigError, UnknownNameError: an option it cannot have.
        """
        self._session = _onnx_session(_need_file(file), device)
        self._names = self._input_names(image_input, mask_input)
        self._outputs = [self._output_name(output)]
        super().__init__(
            "onnx",
            input_range=input_range,
            output_range=output_range,
            cut_out=cut_out,
            mask_known=mask_known,
            size=size if size is not None else self._fixed_size(),
            stride=stride,
        )

    def _input_names(self, image: str | None, mask: str | None) -> list[str]:
        there = [entry.name for entry in self._session.get_inputs()]
        for name in (image, mask):
            if name is not None and name not in there:
                raise unknown("input of the network", name, there)
        if len(there) == 1:
            return there
        image = image or next((n for n in there if n == "image"), there[0])
        rest = [n for n in there if n != image]
        mask = mask or next((n for n in rest if n == "mask"), rest[0])
        if len(there) > 2:
            raise WeightsMismatchError(
                f"the network has the inputs {', '.join(there)}: export one that takes a picture "
                "and a mask"
            )
        return [image, mask]

    def _output_name(self, output: str | None) -> str:
        there = [entry.name for entry in self._session.get_outputs()]
        if output is not None and output not in there:
            raise unknown("output of the network", output, there)
        return output or str(there[0])

    def _entry(self, name: str) -> Any:
        return next(entry for entry in self._session.get_inputs() if entry.name == name)

    def _fixed_size(self) -> int | None:
        shape = self._entry(self._names[0]).shape
        sides = shape[2:] if len(shape) == 4 else []
        fixed = [side for side in sides if isinstance(side, int)]
        if len(fixed) == 2 and fixed[0] != fixed[1]:
            raise WeightsMismatchError(
                f"the network takes {fixed[0]} x {fixed[1]} pictures only: export one that takes "
                "squares or any size"
            )
        return fixed[0] if len(fixed) == 2 else None

    def _run(
        self, image: NDArray[np.float32], mask: NDArray[np.float32]
    ) -> NDArray[np.floating[Any]]:
        values = [image, mask]
        if len(self._names) == 1:
            values = [np.concatenate(values, axis=1)]
        half = "float16" in self._entry(self._names[0]).type
        feed = {
            name: value.astype(np.float16 if half else np.float32)
            for name, value in zip(self._names, values, strict=True)
        }
        try:
            made = self._session.run(self._outputs, feed)[0]
        except Exception as error:  # onnxruntime has a class for every cause
            raise ConfigError(
                f"the network does not take {image.shape}: set size or stride "
                f"({' '.join(str(error).split())[:160]})"
            ) from error
        return np.asarray(made)


def _onnx_session(file: Path, device: str) -> Any:
    try:
        onnxruntime: Any = import_module("onnxruntime")
    except ImportError as error:
        raise missing_extra("inpainting with an ONNX file", "onnx") from error
    options = onnxruntime.SessionOptions()
    # It does not read the variable itself: workers of one thread each would use every core.
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    there = onnxruntime.get_available_providers()
    if wanted and wanted[0] not in there:
        raise ConfigError("this onnxruntime has no CUDA: install onnxruntime-gpu, or use the cpu")
    try:
        return onnxruntime.InferenceSession(
            file, sess_options=options, providers=[*wanted, "CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has a class for every cause
        raise WeightsMismatchError(
            f"{file} is no ONNX network ({' '.join(str(error).split())[:160]}): export it again"
        ) from error


class TorchScriptGenerator(_Exported):
    """An inpainting network in a TorchScript file, called as ``network(image, mask)``."""

    def __init__(
        self,
        file: str | Path,
        *,
        device: str = "cpu",
        one_input: bool = False,
        input_range: Range = "unit",
        output_range: Range = "unit",
        cut_out: bool = False,
        mask_known: bool = False,
        size: int | None = None,
        stride: int = 8,
    ) -> None:
        """Load a network.

        Args:
            file: written by ``torch.jit.save``.
            device: a torch device.
            one_input: call it as ``network(image_and_mask)`` with four channels.
            input_range, output_range, cut_out, mask_known, size, stride: see `OnnxGenerator`; no
                size is known from the file.

        Raises:
            WeightsNotFoundError, WeightsMismatchError: no such file, or not TorchScript.
            ConfigError, UnknownNameError: an option it cannot have.
        """
        super().__init__(
            "torchscript",
            input_range=input_range,
            output_range=output_range,
            cut_out=cut_out,
            mask_known=mask_known,
            size=size,
            stride=stride,
        )
        self._network = _script(_need_file(file), device)
        self._device, self._one_input = device, bool(one_input)

    def _run(
        self, image: NDArray[np.float32], mask: NDArray[np.float32]
    ) -> NDArray[np.floating[Any]]:
        import torch

        values = [torch.from_numpy(a).to(self._device) for a in (image, mask)]
        if self._one_input:
            values = [torch.cat(values, dim=1)]
        try:
            with torch.inference_mode():
                made = self._network(*values)
        except RuntimeError as error:
            last = (str(error).strip().splitlines() or ["no message"])[-1].strip()
            raise ConfigError(
                f"the network does not take {image.shape}: set size, stride or one_input "
                f"({last[:160]})"
            ) from error
        return np.asarray(made.float().cpu().numpy())


def _script(file: Path, device: str) -> Any:
    import warnings

    import torch

    try:
        with warnings.catch_warnings():
            # Old files are the reason for this reader; that their format is old is known.
            warnings.simplefilter("ignore")
            load: Any = torch.jit.load
            return load(file, map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        raise WeightsMismatchError(
            f"{file} is no TorchScript network: write it with torch.jit.save"
        ) from error


def _need_file(file: str | Path) -> Path:
    path = Path(file)
    if not path.is_file():
        raise WeightsNotFoundError(f"no file {path}: give the exported network")
    return path
