"""Faces on disk with their parsing labels, in the layouts people have them in.

===============================  ================================================================
layout                           read as
===============================  ================================================================
``images/`` and ``masks/``       one label map per face, of the same stem (``labels/`` works too)
``CelebA-HQ-img/`` and           the original CelebAMask-HQ: one black-and-white PNG per part,
``CelebAMask-HQ-mask-anno/``     ``3/06012_l_brow.png`` for face 6012
any folder of pictures           with a folder of label maps, or with a `FaceParser`
===============================  ================================================================
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.data.datasets._files import by_stem
from tamperscope.errors import DataError
from tamperscope.face_parsing.parser import FaceParser, parse_face
from tamperscope.face_parsing.parts import PARTS, renumber
from tamperscope.image import read_image, read_labels, read_mask

LAYOUT = (
    "images/ and masks/ (label maps, same stems), or CelebA-HQ-img/ and CelebAMask-HQ-mask-anno/"
)
_FACES_PER_FOLDER = 2000


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face on disk.

    id: its stem, unique in its set.
    label_map: one file with a number per pixel, or None.
    part_masks: part -> black-and-white file, in the order of `PARTS`; empty with a label map.
    """

    id: str
    image: Path
    label_map: Path | None = None
    part_masks: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class FaceWithParts:
    """A decoded face: pixels (h, w, 3) RGB uint8, labels (h, w) numbered as `PARTS`, the sha256 of
    the picture's file."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    sha256: str


def find_faces(
    root: Path, *, labels: Path | None = None, parsed: bool = False
) -> tuple[list[Face], list[str]]:
    """The faces below ``root``, sorted by id, and the ids of pictures without labels.

    Args:
        root: a folder in one of the layouts above.
        labels: a folder of label maps of the same stems, in place of the layout's own.
        parsed: a `FaceParser` will label them, so no label map is looked for.

    Raises:
        DataError: no such folder, no picture, or no picture with labels.
    """
    if not root.is_dir():
        raise DataError(f"no folder {root}: give a folder of faces, {LAYOUT}")
    folder = next((root / n for n in ("images", "CelebA-HQ-img") if (root / n).is_dir()), root)
    images = by_stem(folder)
    if not images:
        raise DataError(f"{folder}: no pictures: expected {LAYOUT}")
    if parsed:
        return [Face(id=stem, image=path) for stem, path in images.items()], []
    faces = _with_labels(root, images, labels)
    if not faces:
        raise DataError(
            f"{root}: none of the {len(images)} pictures has a label map of its name: "
            f"expected {LAYOUT}; or give a folder of label maps (--labels)"
        )
    return faces, sorted(set(images) - {face.id for face in faces})


def _with_labels(root: Path, images: Mapping[str, Path], labels: Path | None) -> list[Face]:
    parts = root / "CelebAMask-HQ-mask-anno"
    if labels is None and parts.is_dir():
        found = [
            Face(id=stem, image=path, part_masks=_part_masks(parts, stem))
            for stem, path in images.items()
        ]
        return [face for face in found if face.part_masks]
    maps = by_stem(_label_folder(root, labels))
    return [
        Face(id=stem, image=path, label_map=maps[stem])
        for stem, path in images.items()
        if stem in maps
    ]


def _label_folder(root: Path, labels: Path | None) -> Path:
    if labels is not None:
        if not labels.is_dir():
            raise DataError(f"no folder {labels}: give a folder of label maps named as the faces")
        return labels
    for name in ("masks", "labels"):
        if (root / name).is_dir():
            return root / name
    raise DataError(
        f"{root}: no parsing labels: expected {LAYOUT}; or give a folder of label maps (--labels), "
        "or from Python a parser"
    )


def _part_masks(folder: Path, stem: str) -> tuple[tuple[str, Path], ...]:
    if not stem.isdecimal():
        return ()
    number = int(stem)
    places = (folder / str(number // _FACES_PER_FOLDER), folder)
    place = next((p for p in places if (p / f"{number:05d}_skin.png").is_file()), places[0])
    paths = ((part, place / f"{number:05d}_{part}.png") for part in PARTS[1:])
    return tuple((part, path) for part, path in paths if path.is_file())


def read_face(
    face: Face, *, numbering: str = "celebamask", parser: FaceParser | None = None
) -> FaceWithParts:
    """Decode a face and its labels, these brought to the picture's size by nearest neighbour.

    Args:
        face: as found by `find_faces`.
        numbering: of the label map, a name of `NUMBERINGS`.
        parser: labels the faces that came without.

    Raises:
        ImageError: a file cannot be read.
        DataError: the label map has another aspect ratio than the picture, or unknown numbers.
    """
    image = read_image(face.image)
    if face.label_map is not None:
        what = str(face.label_map)
        labels = renumber(read_labels(face.label_map), numbering, what=what)
    elif face.part_masks:
        what = str(face.part_masks[0][1].parent)
        labels = _merged(face)
    elif parser is not None:
        what = str(face.image)
        labels = renumber(parse_face(parser, image.pixels, what=what), "celebamask", what=what)
    else:
        raise DataError(f"{face.image}: no label map: give one, or a parser")
    return FaceWithParts(
        pixels=image.pixels,
        labels=_to_size(labels, image.size, what=what),
        sha256=image.sha256,
    )


def _merged(face: Face) -> NDArray[np.uint8]:
    """One label map from a mask per part; where they overlap, the later part of `PARTS` wins."""
    labels: NDArray[np.uint8] | None = None
    for part, path in face.part_masks:
        # Any level but black is the part: some copies of the set hold 1, others 255.
        mask = read_mask(path, threshold=0)
        if labels is None:
            labels = np.zeros(mask.shape, np.uint8)
        if mask.shape != labels.shape:
            raise DataError(
                f"{path}: {mask.shape[0]} x {mask.shape[1]} pixels, another part of the face has "
                f"{labels.shape[0]} x {labels.shape[1]}: get the part masks again"
            )
        labels[mask] = PARTS.index(part)
    assert labels is not None, "called for faces with part masks only"
    return labels


def _to_size(labels: NDArray[np.uint8], size: tuple[int, int], *, what: str) -> NDArray[np.uint8]:
    if labels.shape == size:
        return labels
    (h, w), (height, width) = labels.shape, size
    # Proportional to a pixel: a smaller map of the same picture, not the map of another one.
    if abs(h * width - w * height) > max(h, w, height, width):
        raise DataError(
            f"{what}: a label map of {h} x {w} (height x width) does not fit a picture of "
            f"{height} x {width}: give maps in the proportions of their pictures"
        )
    resized = PILImage.fromarray(labels).resize((width, height), PILImage.Resampling.NEAREST)
    return np.asarray(resized)
