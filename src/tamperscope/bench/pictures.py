"""The pictures of a benchmark: found and hashed once, then read and perturbed in the background."""

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.protocols.base import mask_at
from tamperscope.data.manifest import hash_file, set_digest
from tamperscope.data.sample import Dataset, Sample
from tamperscope.errors import DataError, ImageError
from tamperscope.image import Image, read_image
from tamperscope.perturb import Perturbation
from tamperscope.provenance import JSON, config_digest

Job = TypeVar("Job")
Done = TypeVar("Done")

MAX_ASPECT_CHANGE = 0.05
"""Before a mask is moved with its picture: a larger difference in shape is a wrong pair."""


@dataclass(frozen=True, kw_only=True)
class Ref:
    """A sample, the sha256 of its picture, and a key for picture, ground truth and reading."""

    sample: Sample
    picture: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """A picture that is left out for every method alike, and why."""

    id: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """A set with its files hashed; what cannot be read at all is left out."""

    name: str
    data: Dataset
    refs: tuple[Ref, ...]
    excluded: tuple[Excluded, ...]
    sha256: str
    """Over the sorted hashes of its files, as `tamperscope.data.fingerprint`."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A picture as the methods see it, and its ground truth: bool (h, w), None if authentic.

    whole: there is no region to find, as every pixel is generated or nobody knows which are forged;
        the ground truth marks all of it.
    """

    image: Image
    truth: NDArray[np.bool_] | None
    whole: bool = False


def survey(name: str, data: Dataset, pool: Executor) -> Surveyed:
    """Hash every file of a set once, whatever will be measured on it."""
    refs: list[Ref] = []
    excluded: list[Excluded] = []
    hashes: list[str] = []
    for sample, found in zip(data.samples, pool.map(_hashes, data.samples), strict=True):
        if isinstance(found, str):
            excluded.append(Excluded(id=sample.id, why=found))
            continue
        hashes += found
        key = config_digest([*found, sample.polarity, sample.label, sample.unmasked])
        refs.append(Ref(sample=sample, picture=found[0], key=key))
    return Surveyed(
        name=name,
        data=data,
        refs=tuple(refs),
        excluded=tuple(excluded),
        sha256=set_digest(hashes),
    )


def load(ref: Ref, condition: Perturbation, seed: int) -> Loaded:
    """Read a picture and its ground truth, and perturb both.

    What is drawn depends on ``seed`` and the picture's bytes alone.

    Raises:
        ImageError: picture or mask cannot be read. DataError: no region is known, the mask marks
        nothing (any more), or it is another picture's.
    """
    sample = ref.sample
    image = read_image(sample.image_path)
    truth = _truth(sample, image.size)
    if condition.steps:
        draw = int.from_bytes(hashlib.sha256(f"{seed}:{ref.picture}".encode()).digest()[:8])
        if truth is not None and condition.moves:
            truth = _moved(truth, image.size, condition, draw)
        image = read_image(condition.apply(image.pixels, seed=draw), id=image.id)
    return Loaded(image=image, truth=truth, whole=_without_region(sample))


def load_or_reason(ref: Ref, condition: Perturbation, seed: int) -> Loaded | str:
    """`load`, or one line that says why the picture has to be left out."""
    try:
        return load(ref, condition, seed)
    except (ImageError, DataError) as error:
        return " ".join(str(error).split())


def ahead(
    pool: Executor, work: Callable[[Job], Done], jobs: Iterable[Job], depth: int
) -> Iterator[tuple[Job, Done]]:
    """(job, result) in order, while at most ``depth`` further ones are being worked on."""
    waiting: deque[tuple[Job, Future[Done]]] = deque()
    for job in jobs:
        waiting.append((job, pool.submit(work, job)))
        if len(waiting) > depth:
            first, future = waiting.popleft()
            yield first, future.result()
    while waiting:
        first, future = waiting.popleft()
        yield first, future.result()


def _hashes(sample: Sample) -> list[str] | str:
    paths: Sequence[Path | None] = (sample.image_path, sample.mask_path, *sample.further_masks)
    try:
        return [hash_file(path) for path in paths if path is not None]
    except DataError as error:
        return str(error)


def _without_region(sample: Sample) -> bool:
    return sample.label == "forged" and sample.unmasked in ("whole", "unknown")


def _truth(sample: Sample, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    if sample.label == "authentic":
        return None
    if _without_region(sample):
        return np.ones(size, np.bool_)
    truth = sample.truth()
    if truth is None:
        raise DataError("forged, but without a mask: give one")
    if not truth.any():
        raise DataError("its mask marks nothing: check the polarity, or leave the picture out")
    return truth


def truth_at(truth: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A ground truth at the size (h, w) of its picture, the nearest pixel where it has another.

    Raises:
        DataError: of another shape, so another picture's.
    """
    (h, w), (th, tw) = size, truth.shape
    if abs((h / w) / (th / tw) - 1) > MAX_ASPECT_CHANGE:
        raise DataError(
            f"the picture is {h} x {w} and its mask {th} x {tw} (rows x columns): another "
            "picture's mask, or one turned by EXIF; replace it"
        )
    return mask_at(truth, size)


def _moved(
    truth: NDArray[np.bool_], size: tuple[int, int], condition: Perturbation, seed: int
) -> NDArray[np.bool_]:
    moved = condition.move_mask(truth_at(truth, size), seed=seed)
    if not moved.any():
        raise DataError(f"nothing of the forged region is left after {condition.name}")
    return moved


def describe_set(data: Dataset, sha256: str) -> dict[str, JSON]:
    """What a record says of a set: counts, kinds of forgery and the digest of its files;
    "sources" where several forged pictures show the same face, video or photo.
    """
    kinds = Counter(s.kind for s in data.forged if s.kind is not None)
    shared = data.forged_sources < len(data.forged)
    return {
        "name": data.name,
        "forged": len(data.forged),
        **({"sources": data.forged_sources} if shared else {}),
        "authentic": len(data.authentic),
        "kinds": dict(sorted(kinds.items())),
        "sha256": sha256,
        "notes": dict(data.notes),
    }
