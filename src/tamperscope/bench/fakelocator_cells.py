"""Per-picture numbers and features of a FakeLocator study."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.bench import measured
from tamperscope.bench.fakelocator_study import PROTOCOL
from tamperscope.bench.predictor import Method, name_of, predict
from tamperscope.bench.progress import Tick
from tamperscope.data.manifest import hash_file, set_digest
from tamperscope.data.pair import FacePair, read_pair
from tamperscope.errors import ClusteringError, ImageError, ResultError
from tamperscope.image import Image, read_image
from tamperscope.metrics import maps
from tamperscope.perturb import IDENTITY, Perturbation
from tamperscope.provenance import config_digest

FORMAT = "tamperscope fakelocator pictures"
VERSION = 1
PSNR_LIMIT = 100.0
"""dB: that of maps which differ by a 100,000th, and the most a single picture counts."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture's numbers.

    Attributes:
        id: of the picture, unique in its set.
        fake: the decision; None for a reference, which makes none.
        score: image score, rising with suspicion; None for a refused picture.
        level: mean of the map.
        seconds: wall time of one answer, without decoding.
        coss, psnr, ssim, mae: against the ground truth; None for a real picture, and for one
            without a real picture behind it.
        failure: why the method refused the picture, or None.
    """

    id: str
    fake: bool | None
    score: float | None
    level: float
    seconds: float
    coss: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    mae: float | None = None
    failure: str | None = None


@dataclass(frozen=True, kw_only=True)
class PictureSet:
    """Pictures to measure on, as they are or perturbed.

    Attributes:
        pairs: in the order of their ids.
        sha256: over the hashes of their files.
        matches: sha256 over which real picture belongs to which fake.
        condition: what every picture goes through first.
        features: whether features are wanted.
    """

    pairs: tuple[FacePair, ...]
    sha256: str
    matches: str = ""
    condition: Perturbation = IDENTITY
    features: bool = False

    @classmethod
    def of(cls, pairs: Sequence[FacePair], *, features: bool = False) -> "PictureSet":
        """The set with the hash of its files."""
        ordered = tuple(sorted(pairs, key=lambda pair: pair.id))
        files = [path for pair in ordered for path in (pair.real, pair.fake) if path is not None]
        hashes = {path: hash_file(path) for path in files}
        sha256 = set_digest(hashes[path] for path in files)
        matches = config_digest(
            [
                [pair.id, *(path and hashes[path] for path in (pair.real, pair.fake))]
                for pair in ordered
            ]
        )
        return cls(pairs=ordered, sha256=sha256, matches=matches, features=features)

    def under(self, condition: Perturbation) -> "PictureSet":
        """The same pictures perturbed."""
        return replace(self, condition=condition)


Measured = measured.Measured[Picture]


class Store:
    """Measured sets in one folder, by method, settings, weights, pictures and perturbation."""

    def __init__(self, folder: Path) -> None:
        self._shelf = measured.Shelf(folder=folder, format=FORMAT, version=VERSION, numbers=Picture)

    def measure(self, method: Method, pictures: PictureSet, tick: Tick) -> Measured:
        """The numbers of ``method`` on a set: from disk, or measured now and kept.

        Raises:
            DataError: a real picture of another size than its fake.
            ResultError: an answer that is no map, or the folder cannot be written.
        """
        key = content_key(method, pictures)
        return self._shelf.get(key, tick, lambda: _measure(method, pictures, tick))


def content_key(method: Method, pictures: PictureSet) -> str:
    """sha256 over everything the numbers depend on, but the code itself."""
    return measured.key_of(
        method,
        [pair.id for pair in pictures.pairs],
        version=VERSION,
        protocol=PROTOCOL.name,
        pictures=pictures.sha256,
        matches=pictures.matches,
        condition=pictures.condition.name,
        features=pictures.features,
    )


def _measure(
    method: Method, pictures: PictureSet, tick: Tick
) -> tuple[list[Picture], NDArray[np.float32] | None]:
    found, rows = [], []
    for pair in pictures.pairs:
        tick(pair.id)
        picture, features = measure_pair(method, pair, pictures.condition)
        found.append(picture)
        rows.append(features)
    return found, _table(rows) if pictures.features else None


def _table(rows: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    known = [row for row in rows if row is not None]
    if not known:
        return None
    missing = np.full_like(known[0], np.nan)
    return np.stack([missing if row is None else row for row in rows]).astype(np.float32)


def measure_pair(
    method: Method, pair: FacePair, condition: Perturbation = IDENTITY
) -> tuple[Picture, NDArray[np.float32] | None]:
    """One picture, perturbed, against the fakeness map of the unperturbed one; and its features.

    Raises:
        DataError: a real picture of another size than its fake.
        ResultError: an answer that is not a finite map.
    """
    pixels, truth = read_pair(pair)
    perturbed = condition.apply(pixels, seed=_seed(pair.id))
    wanted = pair.fake is not None and pair.real is not None
    start = time.perf_counter()
    try:
        answer = _ask(method, read_image(perturbed, id=pair.id))
    except (ImageError, ClusteringError) as error:
        return _refused(pair, truth if wanted else None, str(error)), None
    seconds = time.perf_counter() - start
    picture = Picture(
        id=pair.id,
        fake=answer.fake,
        score=answer.score,
        level=float(answer.map.mean(dtype=np.float64)),
        seconds=seconds,
        **(_numbers(answer.map, truth) if wanted else {}),
    )
    return picture, answer.features


class _Answer(NamedTuple):
    map: NDArray[np.float32]
    score: float
    fake: bool | None
    features: NDArray[np.float32] | None


def _ask(method: Method, image: Image) -> _Answer:
    """Map, score, decision and features: in one pass where the method offers `examine`, else from
    its localization, whose score decides at one half."""
    examine = getattr(method, "examine", None)
    if callable(examine):
        found = examine(image)
        return _checked(
            _Answer(
                np.asarray(found.scores, np.float32),
                float(found.image_score),
                bool(found.fake),
                np.asarray(found.features, np.float32),
            ),
            method,
        )
    outcome = predict(method, image)
    if outcome.prediction is None:
        raise ImageError(outcome.failure or "refused")
    features = getattr(method, "features", None)
    score = float(outcome.prediction.image_score)
    decides = getattr(method, "card", None) is not None
    return _Answer(
        np.asarray(outcome.prediction.score_map, np.float32),
        score,
        score > 0.5 if decides else None,
        np.asarray(features(image), np.float32) if callable(features) else None,
    )


def _checked(answer: _Answer, method: Method) -> _Answer:
    scores = answer.map
    if scores.ndim != 2 or not scores.size or not np.isfinite(scores).all():
        raise ResultError(
            f"{name_of(method)} returned a map {scores.shape} that is not finite (h, w): "
            "return real numbers"
        )
    return answer


def _numbers(found: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, Any]:
    h, w = truth.shape
    if found.shape != truth.shape:
        picture = PILImage.fromarray(found)
        found = np.asarray(picture.resize((w, h), PILImage.Resampling.BILINEAR), np.float32)
    return {
        "coss": maps.coss(found, truth),
        "psnr": min(maps.psnr(found, truth), PSNR_LIMIT),
        "ssim": maps.ssim(found, truth),
        "mae": maps.mae(found, truth),
    }


def _refused(pair: FacePair, truth: NDArray[np.float32] | None, why: str) -> Picture:
    nothing = {} if truth is None else _numbers(np.zeros_like(truth), truth)
    return Picture(
        id=pair.id, fake=False, score=None, level=0.0, seconds=0.0, failure=why, **nothing
    )


def _seed(picture: str) -> int:
    return int.from_bytes(hashlib.sha256(picture.encode()).digest()[:4], "big")
