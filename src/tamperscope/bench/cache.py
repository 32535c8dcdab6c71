"""What has been measured, kept by content, so that a run goes on after it was stopped.

Two kinds of file: predictions (one `.npz` for each method, picture and perturbation) and journals
of the numbers made from them (one `.jsonl` for each method and perturbation, a line a picture).
Names are digests of everything an answer depends on but the code itself, so pictures may be moved,
renamed or shared between sets. Whatever is damaged, or written half when a run was killed, is
measured again.
"""

import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.predictor import Method, name_of, settings_of
from tamperscope.bench.protocols import Prediction, Row
from tamperscope.errors import ResultError
from tamperscope.perturb import Perturbation
from tamperscope.provenance import config_digest
from tamperscope.result import write_atomic

VERSION = 1
LEVELS = 65534
"""Maps are kept in this many steps between 0 and 1: even, so that 1/2 is kept exactly."""

_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def settled(prediction: Prediction) -> Prediction:
    """The prediction as it comes back from the disk: a map in [0, 1] in steps of 1/65534.

    Numbers are only made from settled predictions, so they do not depend on whether a run was
    interrupted. A map that leaves [0, 1] is kept as it is.
    """
    found = np.asarray(prediction.score_map, np.float32)
    if _fits(found):
        found = _unpack(_pack(found))
    return replace(prediction, score_map=found)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A prediction, the wall time of the answer in s, and the commit of the code that gave it."""

    prediction: Prediction
    seconds: float
    commit: str | None


@dataclass(kw_only=True)
class Entry:
    """What a journal knows of one picture.

    Attributes:
        seconds: wall time of the answer, without decoding and perturbing.
        flagged: share of the picture in the mask.
        image_score: rising with suspicion.
        failure: why the method refused the picture, or None.
        commit: of the code that answered.
        rows: numbers by the digest of their protocol.
    """

    seconds: float
    flagged: float
    image_score: float
    failure: str | None = None
    commit: str | None = None
    rows: dict[str, Row] = field(default_factory=dict)


OUT_OF_MEMORY = "ran out of memory on this picture; measure on a larger machine"
"""How the failure of a machine ends: it says nothing of method and picture, and is not kept."""


class Journal:
    """Numbers of one method under one perturbation, by picture; every line is written at once.

    What ended `OUT_OF_MEMORY` is known until the end of the run only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, Entry] = {}
        self._ragged = False
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return
        self._ragged = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            self._take(line)

    def get(self, picture: str) -> Entry | None:
        """What is known of a picture."""
        return self._entries.get(picture)

    def add(self, picture: str, entry: Entry) -> None:
        """Keep an entry; rows of other protocols known before stay.

        Raises:
            ResultError: the file cannot be written.
        """
        if _of_machine(entry):
            self._keep(picture, entry)
            return
        line = json.dumps({"version": VERSION, "picture": picture, **vars(entry)}) + "\n"
        # A line cut off by a kill must not swallow the next one.
        start = "\n" if self._ragged else ""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "ab", buffering=0) as file:
                file.write((start + line).encode())
        except OSError as error:
            raise ResultError(
                f"cannot write {self._path}: {error.strerror or error}; choose another folder"
            ) from error
        self._ragged = False
        self._keep(picture, entry)

    def _take(self, line: str) -> None:
        try:
            values = json.loads(line)
            if values.pop("version") == VERSION:
                picture, entry = values.pop("picture"), Entry(**values)
                if not _of_machine(entry):
                    self._keep(picture, entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            return

    def _keep(self, picture: str, entry: Entry) -> None:
        known = self._entries.get(picture)
        # Rows of a refusal and of an answer are not of one thing.
        same = known is not None and known.failure == entry.failure
        rows = {**known.rows, **entry.rows} if known and same else dict(entry.rows)
        self._entries[picture] = replace(entry, rows=rows)


def _of_machine(entry: Entry) -> bool:
    return entry.failure is not None and entry.failure.endswith(OUT_OF_MEMORY)


class Shelf:
    """Predictions and journals in one folder.

    keep_maps: whether predictions are kept; without them a protocol asked for later needs the
        method to run again.
    """

    def __init__(self, folder: Path, *, keep_maps: bool = True) -> None:
        self._folder = folder
        self._keep_maps = keep_maps

    def journal(self, method: str, condition: Perturbation, seed: int) -> Journal:
        """Of a method (its `method_key`) under a perturbation."""
        name = config_digest([VERSION, method, condition.name, seed])
        return Journal(self._folder / "numbers" / f"{name}.jsonl")

    def load(self, method: str, picture: str, condition: Perturbation, seed: int) -> Kept | None:
        """The answer kept for the picture with this sha256; None if there is none."""
        return read_prediction(self._path(method, picture, condition, seed))

    def save(
        self, kept: Kept, method: str, picture: str, condition: Perturbation, seed: int
    ) -> None:
        """Keep an answer, if any are kept.

        Raises:
            ResultError: the folder cannot be written.
        """
        if self._keep_maps:
            write_prediction(kept, self._path(method, picture, condition, seed))

    def _path(self, method: str, picture: str, condition: Perturbation, seed: int) -> Path:
        name = config_digest([VERSION, method, picture, condition.name, seed])
        return self._folder / "maps" / name[:2] / f"{name}.npz"


def method_key(method: Method) -> str:
    """sha256 over a method's name, settings and weights."""
    return config_digest({"method": name_of(method), "settings": settings_of(method)})


def protocol_key(described: Mapping[str, Any]) -> str:
    """sha256 over everything a protocol says of itself."""
    return config_digest(described)


def write_prediction(kept: Kept, path: Path) -> None:
    """Write an answer; the file appears whole or not at all."""
    prediction = kept.prediction
    found = np.asarray(prediction.score_map, np.float32)
    packed = _pack(found) if _fits(found) else found
    about = {
        "version": VERSION,
        "image_score": prediction.image_score,
        "threshold": prediction.threshold,
        "feature_grid": prediction.feature_grid,
        "seconds": kept.seconds,
        "commit": kept.commit,
    }
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        map=packed,
        mask=np.packbits(prediction.mask, axis=1),
        width=np.array(prediction.mask.shape[1]),
        about=np.array(json.dumps(about)),
    )
    write_atomic(path, buffer.getbuffer())


def read_prediction(path: Path) -> Kept | None:
    """Read it back; None for a file that is missing, damaged or of another version."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"][()]))
            packed, bits, width = arrays["map"], arrays["mask"], int(arrays["width"])
        if about["version"] != VERSION:
            return None
        grid = about["feature_grid"]
        prediction = Prediction(
            score_map=packed if packed.dtype == np.float32 else _unpack(packed),
            mask=np.unpackbits(bits, axis=1, count=width).astype(np.bool_),
            image_score=float(about["image_score"]),
            threshold=float(about["threshold"]),
            feature_grid=None if grid is None else (int(grid[0]), int(grid[1])),
        )
        return Kept(prediction=prediction, seconds=float(about["seconds"]), commit=about["commit"])
    except _DAMAGED:
        return None


def _fits(score_map: NDArray[np.float32]) -> bool:
    return bool(score_map.min() >= 0 and score_map.max() <= 1)


def _pack(score_map: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Differences along rows as two planes of bytes (2, h, w): smooth maps become mostly zeros."""
    levels = np.rint(score_map * np.float32(LEVELS)).astype(np.uint16)
    steps = np.diff(levels, axis=1, prepend=np.uint16(0))
    return np.stack([(steps >> 8).astype(np.uint8), steps.astype(np.uint8)])


def _unpack(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    steps = packed[0].astype(np.uint16) << np.uint16(8) | packed[1]
    levels = np.cumsum(steps, axis=1, dtype=np.uint16)
    return (levels / np.float32(LEVELS)).astype(np.float32)


def finite_or_none(row: Row) -> dict[str, float | None]:
    """A row for JSON, which has no NaN."""
    return {name: None if math.isnan(value) else value for name, value in row.items()}
