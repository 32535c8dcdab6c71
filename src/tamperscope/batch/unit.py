"""Examining one input: the same code in every worker, whichever engine started it."""

import dataclasses
import gc
import hashlib
import importlib
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tamperscope.batch.reading import ReadingError, read_task
from tamperscope.batch.work import FAILED, MEMORY, Answer, Task, failure
from tamperscope.errors import TamperscopeError
from tamperscope.image import longest_file, read_image

if TYPE_CHECKING:
    from tamperscope.localizer import Localizer
    from tamperscope.result import Localization

MOST_BOXES = 64
"""Regions beyond the largest so many are counted, but have no box in the row."""

_LEAST_TILE = 128
_TILE_STEP = 32


class Unit:
    """A loaded method, and what to do with a task.

    Args:
        settings: `BatchConfig.worker_settings`.

    Raises:
        TamperscopeError: the method cannot be loaded.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._method = self._load({})
        self._smaller: tuple[int, Localizer] | None = None

    def introduce(self) -> dict[str, Any]:
        """What runs here, as JSON values: the description, the preset, and graphics devices."""
        torch = sys.modules.get("torch")
        card = self._method.card
        return {
            "describe": self._method.describe(),
            "preset": self._settings["preset"] or card.presets[0],
            "gpus": int(torch.cuda.device_count()) if torch else 0,
        }

    def read(self, task: Task) -> bytes | Answer:
        """The picture's bytes, or why there are none."""
        try:
            return read_task(task, longest_file(self._settings["max_pixels"]))
        except ReadingError as error:
            return failure(error.kind, str(error))
        except Exception as error:
            return _describe(error)

    def examine(self, data: bytes, task: Task) -> tuple[Answer, bytes]:
        """The answer to a picture, and its mask in the form that was asked for."""
        started = time.perf_counter()
        digest = hashlib.sha256(data).hexdigest()
        try:
            answer, mask = self._answer(data, task)
        except Exception as error:
            # The frames of the traceback hold pictures.
            answer, mask = _describe(error.with_traceback(None)), b""
        seconds = time.perf_counter() - started
        return dataclasses.replace(answer, sha256=digest, seconds=seconds), mask

    def _answer(self, data: bytes, task: Task) -> tuple[Answer, bytes]:
        image = read_image(data, max_pixels=self._settings["max_pixels"], id=task.id)
        result, note = self._localize(image)
        count, boxes = regions(result.mask)
        answer = Answer(
            width=image.width,
            height=image.height,
            map_kind=result.map_kind.value,
            score=result.image_score,
            threshold=result.threshold,
            image_threshold=_number(result.provenance.notes.get("image_threshold")),
            flagged=result.flagged,
            forged_fraction=result.forged_fraction,
            regions=count,
            boxes=boxes,
            note=note,
        )
        return answer, encoded(result.mask, self._settings["masks"])

    def _localize(self, image: Any) -> "tuple[Localization, str | None]":
        try:
            return self._method.localize(image), None
        except Exception as error:
            if not _is_device_memory(error):
                raise
        # Outside of the handler, whose exception keeps the network's tensors alive.
        return self._with_smaller_tiles(image)

    def _with_smaller_tiles(self, image: Any) -> "tuple[Localization, str | None]":
        """The same method in tiles of half the side, and half again, until they fit."""
        tile = _tile_of(self._method)
        while (tile := _half(tile)) >= _LEAST_TILE:
            _free_device()
            try:
                result = self._method_with(tile).localize(image)
            except Exception as error:
                if not _is_device_memory(error):
                    raise
                continue
            return result, f"tiles of {tile}: the device was out of memory with larger ones"
        raise _DeviceFullError

    def _method_with(self, tile: int) -> "Localizer":
        if self._smaller is None or self._smaller[0] != tile:
            self._smaller = None
            overlap = _setting(self._method, "overlap")
            changes = {"tile": tile}
            if overlap is not None:
                changes["overlap"] = min(overlap, _half(tile))
            self._smaller = (tile, self._load(changes))
        return self._smaller[1]

    def _load(self, changes: dict[str, Any]) -> "Localizer":
        room, _, function = self._settings["loader"].partition(":")
        load = getattr(importlib.import_module(room), function)
        names = ("preset", "weights", "device", "precision", "max_pixels")
        options = {name: self._settings[name] for name in names}
        if self._settings["runtime"] != "torch":
            import torch

            # ONNX Runtime takes as many threads as torch would.
            torch.set_num_threads(1)
            options |= {"engine": self._settings["runtime"], "onnx": self._settings["onnx"]}
        method: Localizer = load(
            self._settings["method"], **options, **{**self._settings["options"], **changes}
        )
        if loaded := sys.modules.get("torch"):
            loaded.set_num_threads(1)
        return method


class _DeviceFullError(Exception):
    """Not even the smallest tiles fit."""


def regions(mask: NDArray[np.bool_]) -> tuple[int, list[list[int]]]:
    """Connected regions (8 neighbours) of a mask (h, w).

    Returns:
        How many there are, and the boxes ``[x0, y0, x1, y1]`` of the `MOST_BOXES` largest, by
        area, ``x1`` and ``y1`` exclusive.
    """
    import cv2

    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    left, top, width, height, area = stats[1:].T
    order = np.lexsort((left, top, -area))[:MOST_BOXES]
    boxes = np.stack((left, top, left + width, top + height), axis=1)[order]
    return count - 1, boxes.tolist()


def encoded(mask: NDArray[np.bool_], form: str) -> bytes:
    """A mask (h, w) as ``png`` (255 = forged), ``rle`` (int32 run lengths) or ``none``; nothing
    where nothing is marked."""
    if form == "none" or not mask.any():
        return b""
    if form == "rle":
        from tamperscope.report.masks import run_lengths

        return run_lengths(mask).astype("<i4").tobytes()
    from tamperscope.report.overlay import encode_png

    return encode_png(mask)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _describe(error: Exception) -> Answer:
    if isinstance(error, _DeviceFullError) or _is_device_memory(error):
        return failure(MEMORY, "the device is out of memory, also with smaller tiles")
    if _is_memory(error):
        message = "needs more memory than a worker has; raise --memory, or make it smaller first"
        return failure(MEMORY, message)
    if isinstance(error, TamperscopeError):
        return failure(type(error).__name__, str(error))
    return failure(FAILED, f"{type(error).__name__}: {error}")


def _is_memory(error: BaseException) -> bool:
    # Decoders report it wrapped in errors of their own, torch, OpenCV and ONNX Runtime as text.
    texts = ("can't allocate memory", "Insufficient memory", "Failed to allocate", "bad_alloc")
    causes = (error, error.__cause__)
    return any(isinstance(e, MemoryError) or any(t in str(e) for t in texts) for e in causes)


def _is_device_memory(error: BaseException) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.cuda.OutOfMemoryError)


def _free_device() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _tile_of(method: "Localizer") -> int:
    return _setting(method, "tile") or 0


def _setting(method: "Localizer", name: str) -> int | None:
    config = method.describe().get("config")
    value = config.get(name) if isinstance(config, dict) else None
    return value if isinstance(value, int) else None


def _half(length: int) -> int:
    return length // 2 // _TILE_STEP * _TILE_STEP
