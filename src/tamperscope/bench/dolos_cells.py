"""Per-picture numbers of the DOLOS protocol."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench import measured
from tamperscope.bench.predictor import Method, predict, recompressed
from tamperscope.bench.progress import Tick
from tamperscope.bench.protocols import DOLOS
from tamperscope.data.manifest import files_of, hash_file, set_digest
from tamperscope.data.sample import Dataset, Sample
from tamperscope.errors import ClusteringError, DataError, ImageError
from tamperscope.image import read_image
from tamperscope.metrics import dolos
from tamperscope.provenance import config_digest

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
    """A set to measure on.

    Attributes:
        data, sha256: the set, and over the hashes of its files.
        quality: of the JPEG compression all pictures go through, or None.
        pairs: sha256 over which picture has which ground truth.
    """

    data: Dataset
    sha256: str
    quality: int | None = None
    pairs: str = ""

    @classmethod
    def of(cls, data: Dataset, quality: int | None = None) -> "PictureSet":
        """The set with the hash of its files (read once, whatever is measured on it)."""
        files = [path for sample in data.samples for path in files_of(sample)]
        hashes = {path: hash_file(path) for path in files}
        sha256 = set_digest(hashes[path] for path in files)
        pairs = config_digest(
            [
                [s.id, *(path and hashes[path] for path in (s.image_path, s.mask_path))]
                for s in data.samples
            ]
        )
        return cls(data=data, sha256=sha256, quality=quality, pairs=pairs)


Measured = measured.Measured[Picture]


class Store:
    """Measured sets in one folder, by method, settings, weights, pictures and protocol."""

    def __init__(self, folder: Path) -> None:
        self._shelf = measured.Shelf(folder=folder, format=FORMAT, version=VERSION, numbers=Picture)

    def measure(self, method: Method, pictures: PictureSet, tick: Tick) -> Measured:
        """The numbers of ``method`` on a set: from disk, or measured now and kept.

        Raises:
            DataError: a ground truth that cannot belong to its picture.
            ResultError: an answer that is no map, or the folder cannot be written.
        """

        def now() -> tuple[list[Picture], None]:
            found = []
            for sample in pictures.data.samples:
                tick(sample.id)
                found.append(measure_picture(method, sample, quality=pictures.quality))
            return found, None

        return self._shelf.get(content_key(method, pictures), tick, now)


def content_key(method: Method, pictures: PictureSet) -> str:
    """sha256 over everything the numbers depend on, but the code itself."""
    return measured.key_of(
        method,
        [sample.id for sample in pictures.data.samples],
        version=VERSION,
        protocol=DOLOS.name,
        pictures=pictures.sha256,
        pairs=pictures.pairs,
        quality=pictures.quality,
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
