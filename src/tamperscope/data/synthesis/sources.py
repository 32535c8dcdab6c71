"""The photos forgeries are made from: where they lie, which are held back, how one is drawn."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tamperscope.data.duplicates import Fingerprint, fingerprint_of, near_pairs
from tamperscope.errors import DataError, ImageError
from tamperscope.image import read_image, read_mask

Split = Literal["train", "val"]
# Thinner photos (in pixels, and by their longer side) would have to be blown up beyond all measure.
_SHORTEST, _LONGEST = 16, 12
_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"}


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo on disk and, where there is one, its salient-object mask."""

    path: Path
    object_mask: Path | None = None

    @property
    def has_object(self) -> bool:
        return self.object_mask is not None


def held_back(name: str, share: float) -> bool:
    """Whether the photo called ``name`` belongs to validation: decided by a hash of its name, so it
    never changes sides.
    """
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < share


def find_photos(
    root: Path,
    *,
    split: Split,
    val_share: float = 0.1,
    folders: tuple[str, ...] = (),
    object_sets: tuple[str, ...] | None = None,
    distinct: bool = False,
) -> list[Photo]:
    """Every photo below ``root`` that belongs to ``split``, sorted by path.

    A folder ``X/images`` beside ``X/masks`` gives photos with object masks, paired by stem; folders
    called ``masks`` and ``fake`` are never sources (the second holds generated pictures).

    Args:
        root: where to look, recursively.
        split: ``train`` or the held-back ``val``.
        val_share: share of the photos that is held back, in [0, 1].
        folders: look only into these folders below ``root`` (all of it when empty).
        object_sets: names of the sets whose ``masks`` are object masks; None = all. A label map
            (face parts, say) is not one.
        distinct: leave out of ``val`` what is nearly the same as a photo of ``train`` under another
            name, as by `tamperscope.data.duplicates`. About 7 ms for each photo below ``root``.

    Raises:
        DataError: a folder is missing or there is no photo.
    """
    roots = [root / f for f in folders] or [root]
    for folder in roots:
        if not folder.is_dir():
            raise DataError(
                f"no folder {folder}: give a folder of photos (JPEG, PNG, WebP, TIFF or BMP)"
            )
    found = [
        path
        for path in sorted(p for r in roots for p in r.rglob("*") if p.suffix.lower() in _SUFFIXES)
        if not {"masks", "fake"} & set(path.relative_to(root).parts[:-1])
    ]
    chosen = [p for p in found if held_back(p.stem, val_share) == (split == "val")]
    if distinct and split == "val":
        chosen = _unlike(chosen, [p for p in found if not held_back(p.stem, val_share)])
    photos = []
    for path in chosen:
        photo = Photo(path=path)
        if object_sets is None or group_of(photo) in object_sets:
            photo = Photo(path=path, object_mask=_object_mask(path))
        photos.append(photo)
    if not photos:
        raise DataError(
            f"no photo for the split {split!r} below {root}: add pictures or "
            f"{'raise' if split == 'val' else 'lower'} val_share"
        )
    return photos


def _unlike(paths: list[Path], others: list[Path]) -> list[Path]:
    """Those of ``paths`` that are no near-duplicate of any of ``others``.

    Raises:
        DataError: none is left.
    """
    pairs = near_pairs([_print(p) for p in paths], [_print(p) for p in others])
    known = {i for i, _ in pairs}
    if paths and len(known) == len(paths):
        raise DataError(
            "every photo held back is nearly the same as one to train on: add other pictures, or "
            "set distinct = false"
        )
    return [path for i, path in enumerate(paths) if i not in known]


def _print(path: Path) -> Fingerprint | None:
    """The fingerprint of a photo; None where it cannot be read, as no sample is made of it then."""
    try:
        return fingerprint_of(read_image(path).pixels)
    except ImageError:
        return None


def _object_mask(path: Path) -> Path | None:
    if path.parent.name != "images":
        return None
    mask = path.parent.parent / "masks" / f"{path.stem}.png"
    return mask if mask.is_file() else None


def read_photo(photo: Photo) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Pixels (h, w, 3) RGB uint8 and object mask (h, w) bool or None.

    Raises:
        ImageError: the file cannot be decoded.
    """
    pixels = read_image(photo.path).pixels
    if photo.object_mask is None:
        return pixels, None
    mask = read_mask(photo.object_mask)
    if mask.shape != pixels.shape[:2]:
        mask = cv2.resize(
            mask.astype(np.uint8), pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST
        ).astype(bool)
    return pixels, mask


class PhotoPool:
    """Draws photos; a file that cannot be read, or that is too thin to cut a sample from, is left
    out from then on and another one drawn.

    Faces would crowd out everything else where they are many, so photos are drawn folder by folder
    with the weights given.
    """

    def __init__(self, photos: list[Photo], *, weights: dict[str, float] | None = None) -> None:
        self.groups: dict[str, list[Photo]] = {}
        for photo in photos:
            self.groups.setdefault(group_of(photo), []).append(photo)
        wanted = weights or {}
        self.with_object = [p for p in photos if p.has_object and wanted.get(group_of(p), 1.0) > 0]
        share = np.array(
            [wanted.get(g, float(len(members))) for g, members in self.groups.items()], float
        )
        if not np.isfinite(share).all() or share.min() < 0 or share.sum() <= 0:
            raise DataError("photo weights must be non-negative and not all zero")
        self._share = share / share.sum()
        self._bad: set[Path] = set()

    def draw(
        self, rng: np.random.Generator, *, with_object: bool = False
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """A random photo as by `read_photo`."""
        for _ in range(20):
            photo = self._pick(rng, with_object)
            if photo.path in self._bad:
                continue
            try:
                pixels, objects = read_photo(photo)
            except ImageError:
                self._bad.add(photo.path)
                continue
            short, long = sorted(pixels.shape[:2])
            if short >= _SHORTEST and long <= _LONGEST * short:
                return pixels, objects
            self._bad.add(photo.path)
        raise DataError(
            "20 photos in a row could not be read or are mere strips: check the photo folder"
        )

    def _pick(self, rng: np.random.Generator, with_object: bool) -> Photo:
        if with_object and self.with_object:
            return self.with_object[int(rng.integers(len(self.with_object)))]
        names = list(self.groups)
        members = self.groups[names[int(rng.choice(len(names), p=self._share))]]
        return members[int(rng.integers(len(members)))]


def group_of(photo: Photo) -> str:
    """The folder a photo counts to when photos are drawn folder by folder."""
    parent = photo.path.parent
    return parent.parent.name if parent.name in {"images", "real"} else parent.name
