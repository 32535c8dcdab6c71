"""Per-picture numbers of the DOLOS protocol, kept on disk so that nothing is measured twice."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.documents import read_document, write_document
from tamperscope.bench.predictor import Method, name_of, predict, recompressed, settings_of
from tamperscope.bench.progress import Tick
from tamperscope.bench.protocols import DOLOS
from tamperscope.data.manifest import fingerprint
from tamperscope.data.sample import Dataset, Sample
from tamperscope.errors import ClusteringError, DataError, ImageError
from tamperscope.image import read_image
from tamperscope.metrics import dolos
from tamperscope.provenance import config_digest, tool_commit

FORMAT = "tamperscope dolos pictures"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture's numbers.

    Attributes:
        id: of the picture, unique in its set.
        flagged: share of the picture above the threshold, at the picture's size.
        score: image score, rising with suspicion, unbounded; None for a refused picture.
        seconds: wall time of one answer, decoding included.
        iou_lg, pbca_lg: at the ground truth's size; None without a ground truth.
        iou_sm, pbca_sm: at the network's grid; None also for a method that does not offer it.
        failure: why the method refused the picture, or None.
    """

    id: str
    flagged: float
    score: float | None
    seconds: float
    iou_lg: float | None = None
    iou_sm: float | None = None
    pbca_lg: float | None = None
    pbca_sm: float | None = None
    failure: str | None = None


@dataclass(frozen=True, kw_only=True)
class PictureSet:
    """A set to measure on. quality: of the JPEG compression all pictures go through, or None."""

    data: Dataset
    sha256: str
    quality: int | None = None

    @classmethod
    def of(cls, data: Dataset, quality: int | None = None) -> "PictureSet":
        """The set with the hash of its files (read once, whatever is measured on it)."""
        return cls(data=data, sha256=fingerprint(data), quality=quality)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A measured set: its pictures in id order, and the commits of the code that measured it."""

    pictures: tuple[Picture, ...]
    commit: str | None


class Store:
    """Measured sets in one folder, by content: method, settings, weights, pictures, protocol.

    A file's name is the digest of all that; a damaged one is measured anew.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def measure(self, method: Method, pictures: PictureSet, tick: Tick) -> Measured:
        """The numbers of ``method`` on a set: from disk, or measured now and kept.

        Raises:
            DataError: a ground truth that cannot belong to its picture.
            ResultError: an answer that is no map, or the folder cannot be written.
        """
        path = self._folder / f"{content_key(method, pictures)}.json"
        if (known := _read(path)) is not None:
            for picture in known.pictures:
                tick(picture.id)
            return known
        found = []
        for sample in pictures.data.samples:
            tick(sample.id)
            found.append(measure_picture(method, sample, quality=pictures.quality))
        measured = Measured(pictures=tuple(found), commit=tool_commit())
        write_document(path, asdict(measured), format=FORMAT, version=VERSION)
        return measured


def content_key(method: Method, pictures: PictureSet) -> str:
    """sha256 over everything the numbers depend on, but the code itself."""
    return config_digest(
        {
            "version": VERSION,
            "protocol": DOLOS.name,
            "method": name_of(method),
            "settings": settings_of(method),
            "pictures": pictures.sha256,
            # The same pictures under other names draw other dice, which go by order.
            "ids": [sample.id for sample in pictures.data.samples],
            "quality": pictures.quality,
        }
    )


def measure_picture(method: Method, sample: Sample, *, quality: int | None = None) -> Picture:
    """One picture, as it is or recompressed, against its ground truth where it has one.

    Raises:
        DataError: a ground truth of another shape than its picture.
        ResultError: an answer that is not a finite map.
    """
    start = time.perf_counter()
    try:
        source = sample.image_path if quality is None else recompressed(sample.image_path, quality)
        answer = _ask(method, source)
    except (ImageError, ClusteringError) as error:
        return _refused(sample, str(error), time.perf_counter() - start)
    seconds = time.perf_counter() - start
    large = dolos.resize_map(answer.map, answer.size) > dolos.THRESHOLD
    numbers: dict[str, Any] = {}
    if sample.mask_path is not None:
        truth = _truth(sample.mask_path)
        _check_shape(sample, answer.size, truth)
        numbers = asdict(dolos.score_map(answer.map, truth))
        if not answer.own_grid:
            numbers |= {"iou_sm": None, "pbca_sm": None}
    return Picture(
        id=sample.id,
        flagged=float(large.mean(dtype=np.float64)),
        score=answer.score,
        seconds=seconds,
        **numbers,
    )


@dataclass(frozen=True, kw_only=True)
class _Answer:
    map: NDArray[np.floating]
    score: float
    size: tuple[int, int]
    own_grid: bool


def _ask(method: Method, source: Path | bytes) -> _Answer:
    """The map at the network's own grid where the method offers it, else at picture size.

    `raw(image)` gives that map (h, w) and an unbounded score in one pass, `raw_map(image)` the map.
    """
    raw = getattr(method, "raw", None)
    if callable(raw):
        image = read_image(source)
        grid, score = raw(image)
        return _Answer(map=np.asarray(grid), score=float(score), size=image.size, own_grid=True)
    outcome = predict(method, source)
    if outcome.prediction is None:
        raise ImageError(outcome.failure or "refused")
    found = outcome.prediction
    h, w = found.score_map.shape
    raw_map = getattr(method, "raw_map", None)
    own_grid = callable(raw_map)
    return _Answer(
        map=np.asarray(raw_map(read_image(source)) if callable(raw_map) else found.score_map),
        score=float(found.image_score),
        size=(h, w),
        own_grid=own_grid,
    )


def _truth(path: Path) -> NDArray[np.bool_]:
    try:
        return dolos.forged_where_not_real(read_image(path).pixels)
    except ImageError as error:
        raise DataError(f"mask {path}: {error}") from error


def _check_shape(sample: Sample, size: tuple[int, int], truth: NDArray[np.bool_]) -> None:
    (h, w), (th, tw) = size, truth.shape
    if abs((h / w) / (th / tw) - 1) > DOLOS.max_aspect_change:
        raise DataError(
            f"{sample.id}: the picture is {h} x {w} and its mask {th} x {tw} (rows x columns): "
            "another picture's mask; replace it"
        )


def _refused(sample: Sample, why: str, seconds: float) -> Picture:
    if sample.mask_path is None:
        return Picture(id=sample.id, flagged=0.0, score=None, seconds=seconds, failure=why)
    truth = _truth(sample.mask_path)
    nothing = dolos.score_map(np.zeros(truth.shape, np.float32), truth)
    return Picture(
        id=sample.id,
        flagged=0.0,
        score=None,
        seconds=seconds,
        failure=why,
        **asdict(nothing),
    )


def _read(path: Path) -> Measured | None:
    stored = read_document(path, format=FORMAT, version=VERSION)
    try:
        if stored is None:
            return None
        pictures = tuple(Picture(**picture) for picture in stored["pictures"])
        return Measured(pictures=pictures, commit=stored["commit"])
    except (KeyError, TypeError):
        return None


class Scored(Protocol):
    """A picture with an image score, None where it was refused."""

    @property
    def score(self) -> float | None: ...


def scores_of(pictures: Sequence[Scored]) -> list[float]:
    """Image scores in order; refused pictures take the lowest of the others (0 without any)."""
    known = [picture.score for picture in pictures if picture.score is not None]
    least = min(known, default=0.0)
    return [least if picture.score is None else picture.score for picture in pictures]
