"""Localization: what a method says about one picture, and how that is kept on disk."""

import contextlib
import io
import json
import os
import secrets
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.errors import ResultError
from tamperscope.provenance import JSON, Provenance

FORMAT_VERSION = 1
"""Version of the saved form; `Localization.load` refuses any other."""


class MapKind(StrEnum):
    """What the numbers of a score map are. Only a probability may be read as one."""

    PROBABILITY = "probability"
    """Calibrated or trained as the chance that a pixel is forged."""
    SALIENCY = "saliency"
    """Where a classifier looked: an ordering inside one picture, nothing more."""
    CLUSTER_SIMILARITY = "cluster similarity"
    """How much closer a pixel's feature is to the forged cluster than to the pristine one."""
    FAKENESS = "fakeness"
    """By how much a generator is estimated to have changed a pixel: grey levels, 1 = all of them,
    or a pixel that no real picture lies behind."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Localization:
    """One picture's result. It checks itself when made; its arrays are read-only views.

    Raises:
        ResultError: an array has the wrong type or shape, the two disagree with each other or
            with ``provenance.input_size``, or a number is outside [0, 1].
    """

    score_map: NDArray[np.float32]
    """(h, w) in [0, 1], higher = more likely forged, in the sense that ``map_kind`` names."""
    map_kind: MapKind
    mask: NDArray[np.bool_]
    """(h, w), True = forged, after the method's own post-processing."""
    threshold: float
    """The level of ``score_map``, in [0, 1], at which the mask's boundary was drawn."""
    image_score: float
    """In [0, 1]: how sure the method is that anything at all was manipulated."""
    provenance: Provenance

    def __post_init__(self) -> None:
        object.__setattr__(self, "map_kind", _map_kind(self.map_kind))
        score_map = _checked(self.score_map, np.dtype(np.float32), "score_map")
        mask = _checked(self.mask, np.dtype(np.bool_), "mask")
        sizes = {score_map.shape, mask.shape, tuple(self.provenance.input_size)}
        if len(sizes) != 1:
            raise ResultError(
                f"sizes differ: score_map {score_map.shape}, mask {mask.shape}, input "
                f"{self.provenance.input_size}; bring both to the size of the input"
            )
        low, high = float(score_map.min()), float(score_map.max())
        if not (low >= 0.0 and high <= 1.0):  # written so that NaN fails too
            raise ResultError(
                f"score_map must be finite and in [0, 1], it spans {low:g} to {high:g}"
            )
        object.__setattr__(self, "score_map", score_map)
        object.__setattr__(self, "mask", mask)
        for name in ("threshold", "image_score"):
            object.__setattr__(self, name, _unit(getattr(self, name), name))

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) in pixels: that of the input in displayed orientation."""
        h, w = self.mask.shape
        return h, w

    @property
    def forged_fraction(self) -> float:
        """Share of pixels in the mask, in [0, 1]."""
        return float(self.mask.mean(dtype=np.float64))

    @property
    def flagged(self) -> bool:
        """Whether the mask has any pixel at all."""
        return bool(self.mask.any())

    def to_record(self) -> dict[str, JSON]:
        """Everything but the arrays, as JSON values."""
        return {
            "format": "tamperscope localization",
            "format_version": FORMAT_VERSION,
            "map_kind": self.map_kind.value,
            "threshold": self.threshold,
            "image_score": self.image_score,
            "flagged": self.flagged,
            "forged_fraction": self.forged_fraction,
            "size": list(self.size),
            "provenance": self.provenance.to_dict(),
        }

    def save(self, directory: str | os.PathLike[str], stem: str) -> tuple[Path, Path]:
        """Write ``<stem>.npz`` (all of it) and ``<stem>.json`` (`to_record`, for people).

        Each file appears whole or not at all. `load` needs only the npz.

        Returns:
            The two paths.

        Raises:
            ResultError: ``stem`` is not a plain file name, or the folder cannot be written.
        """
        if not stem or stem != Path(stem).name or stem == ".." or "\0" in stem:
            raise ResultError(f"stem {stem!r} is not a file name: leave folders to `directory`")
        folder = Path(directory)
        npz, record = folder / f"{stem}.npz", folder / f"{stem}.json"
        values = self.to_record()
        text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
        if not _is_utf8(text):
            # A file name that is not UTF-8 became the input's id: only escapes can carry it.
            text = json.dumps(values, indent=2, ensure_ascii=True, allow_nan=False)
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            score_map=self.score_map,
            mask=np.packbits(self.mask, axis=1),
            record=np.array(text),
        )
        write_atomic(npz, buffer.getbuffer())
        write_atomic(record, (text + "\n").encode())
        return npz, record

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Localization":
        """Read back what `save` wrote, bit for bit.

        Raises:
            ResultError: the file is missing, damaged, or of another format version.
        """
        try:
            # Opened here, because numpy leaves damaged files open.
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                _check_unpacked(arrays.zip)
                score_map, bits = arrays["score_map"], arrays["mask"]
                record = json.loads(str(arrays["record"][()]))
        except FileNotFoundError as error:
            raise ResultError(f"no result at {os.fspath(path)}: check the path") from error
        except Exception as error:  # a header is read as Python, and fails in as many ways
            raise ResultError(
                f"{os.fspath(path)} is not a readable tamperscope result "
                f"({_one_line(error)}): save it again"
            ) from error
        return cls._from_parts(Path(path), record, score_map, bits)

    @classmethod
    def _from_parts(
        cls, path: Path, record: Any, score_map: NDArray[Any], bits: NDArray[Any]
    ) -> "Localization":
        version = record.get("format_version") if isinstance(record, Mapping) else None
        if version != FORMAT_VERSION:
            raise ResultError(
                f"{path} has result format {version!r}, this tamperscope reads "
                f"{FORMAT_VERSION}: run the picture again"
            )
        try:
            return cls(
                score_map=score_map,
                map_kind=record["map_kind"],
                mask=np.unpackbits(bits, axis=1, count=score_map.shape[1]).astype(np.bool_),
                threshold=record["threshold"],
                image_score=record["image_score"],
                provenance=Provenance.from_dict(record["provenance"]),
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise ResultError(
                f"{path} is not a readable tamperscope result ({_one_line(error)}): save it again"
            ) from error

    def save_mask(self, path: str | os.PathLike[str]) -> Path:
        """Write the mask as an 8-bit grey PNG: 255 = forged, 0 = pristine, at (h, w).

        Raises:
            ResultError: the file cannot be written.
        """
        buffer = io.BytesIO()
        PILImage.fromarray(self.mask.astype(np.uint8) * np.uint8(255)).save(buffer, format="PNG")
        return write_atomic(Path(path), buffer.getbuffer())


_MOST_UNPACKED = 3 * 2**29


def _check_unpacked(archive: zipfile.ZipFile) -> None:
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > _MOST_UNPACKED:
        raise ValueError(f"it would unpack to {unpacked:,} bytes")


def write_atomic(path: str | os.PathLike[str], data: bytes | memoryview) -> Path:
    """Write a file so that a reader sees the old one or all of the new one; folders are made.

    Raises:
        ResultError: the file cannot be written.
    """
    target = Path(path)
    # Beside the target, because a rename is atomic only inside one file system.
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(draft, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except OSError as error:
        raise ResultError(
            f"cannot write {target}: {error.strerror or error}; choose another folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return target


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _map_kind(value: Any) -> MapKind:
    try:
        return MapKind(value)
    except ValueError as error:
        kinds = ", ".join(repr(kind.value) for kind in MapKind)
        raise ResultError(f"map_kind {value!r} is none of {kinds}") from error


def _checked(array: object, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        got = getattr(array, "dtype", type(array).__name__)
        raise ResultError(f"{name} must be a {dtype} array, got {got}")
    if array.ndim != 2 or array.size == 0:
        raise ResultError(f"{name} must have shape (h, w), neither zero, got {array.shape}")
    view = array.view()
    view.setflags(write=False)
    return view


def _unit(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ResultError(f"{name} must be a number in [0, 1], got {value!r}") from error
    if not 0.0 <= number <= 1.0:
        raise ResultError(f"{name} must be in [0, 1], got {number}")
    return number


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
