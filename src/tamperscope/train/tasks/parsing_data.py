"""Labelled faces for a face parser: found on disk, kept small in memory, changed when drawn."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tamperscope import perturb
from tamperscope.data.faces.celebamask import Face, find_faces, read_face
from tamperscope.data.faces.splits import FaceSplit, split_of
from tamperscope.errors import DataError
from tamperscope.face_parsing.parts import PARTS
from tamperscope.train.task_config import ParsingConfig
from tamperscope.train.tasks import draws

Pixels = NDArray[np.uint8]
Labels = NDArray[np.uint8]

KIND = "face"
_GREY = (0.299, 0.587, 0.114)
_SIDES = {"l_eye": "r_eye", "l_brow": "r_brow", "l_ear": "r_ear"}


def _mirrored() -> Labels:
    """Label -> label in the mirror image. The lips are upper and lower, not left and right."""
    names = _SIDES | {right: left for left, right in _SIDES.items()}
    return np.array([PARTS.index(names.get(part, part)) for part in PARTS], np.uint8)


_MIRRORED = _mirrored()


def faces_of(root: Path, config: ParsingConfig, split: FaceSplit) -> list[Face]:
    """The labelled faces of a split, ordered by name.

    Raises:
        DataError: no labelled faces below ``root``, or none in this split.
    """
    found, _ = find_faces(root)
    chosen = [face for face in found if split_of(face.id) == split]
    if not chosen:
        raise DataError(
            f"none of the {len(found)} labelled faces of {root} is for {split}:"
            " faces are split by a hash of their names, so give more of them"
        )
    return chosen[: config.limit] if config.limit else chosen


class ParsingSource:
    """Changed training faces, without end.

    A sample is ``{"image": uint8 (3, size, size), "mask": uint8 (size, size) labels, "kind":
    "face"}``.

    Args:
        faces: of `faces_of`.
        config: how they are changed.
        seed: of the order and of every change.
    """

    def __init__(self, faces: list[Face], config: ParsingConfig, *, seed: int) -> None:
        self.faces, self.config, self.seed = faces, config, seed
        self._read = draws.Remembered(
            partial(_read, size=config.stored, numbering=config.numbering), most=None
        )

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        rng = draws.sample_rng(self.seed, index)
        face = self.faces[draws.pick(self.seed, 1, index, len(self.faces))]
        pixels, labels = self._read(face)
        pixels, labels = place(pixels, labels, self.config, rng)
        return _sample(recolour(pixels, self.config, rng), labels)


class HeldBackFaces:
    """Validation faces as they are, one after another."""

    def __init__(self, faces: list[Face], config: ParsingConfig) -> None:
        self.faces = faces
        self._read = partial(_read, size=config.val_size or config.size, numbering=config.numbering)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return _sample(*self._read(self.faces[index]))


def mirror(pixels: Pixels, labels: Labels) -> tuple[Pixels, Labels]:
    """The mirror image; what was a left eye, brow or ear is a right one."""
    return pixels[:, ::-1], _MIRRORED[labels[:, ::-1]]


def place(
    pixels: Pixels, labels: Labels, config: ParsingConfig, rng: np.random.Generator
) -> tuple[Pixels, Labels]:
    """Mirror, turn, zoom and shift a face into a square of ``config.size``."""
    if rng.random() < config.flip:
        pixels, labels = mirror(pixels, labels)
    h, w = labels.shape
    zoom = float(np.exp(rng.uniform(*np.log(config.zoom))))
    angle = float(rng.uniform(-config.rotation, config.rotation))
    matrix = cv2.getRotationMatrix2D(
        ((w - 1) / 2, (h - 1) / 2), angle, zoom * config.size / max(h, w)
    )
    shift = rng.uniform(-config.shift, config.shift, 2) * config.size
    matrix[0, 2] += (config.size - w) / 2 + shift[0]
    matrix[1, 2] += (config.size - h) / 2 + shift[1]
    square = (config.size, config.size)
    around = tuple(int(level) for level in rng.integers(0, 256, 3))
    warped = cv2.warpAffine(
        np.ascontiguousarray(pixels), matrix, square, flags=cv2.INTER_LINEAR, borderValue=around
    )
    placed = cv2.warpAffine(
        np.ascontiguousarray(labels), matrix, square, flags=cv2.INTER_NEAREST, borderValue=0
    )
    return warped.astype(np.uint8, copy=False), placed.astype(np.uint8, copy=False)


def recolour(pixels: Pixels, config: ParsingConfig, rng: np.random.Generator) -> Pixels:
    """Other light, less detail, another compression; nothing moves."""
    pixels = _tone(pixels, config.tone, rng)
    if rng.random() < config.grey:
        pixels = np.repeat(np.rint(pixels @ np.array(_GREY)).astype(np.uint8)[..., None], 3, 2)
    if rng.random() < config.soften:
        pixels = _soften(pixels, rng)
    return draws.recompress(pixels, config.jpeg, config.jpeg_quality, rng)


def _tone(pixels: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    if not strength:
        return pixels
    gamma, gain, saturation, red, blue = np.exp(rng.uniform(-1, 1, 5) * strength)
    return perturb.adjust_tone(
        pixels,
        gamma=float(gamma),
        gain=float(gain),
        bias=float(rng.uniform(-80, 80) * strength),
        saturation=float(saturation),
        balance=(float(red) ** 0.5, 1.0, float(blue) ** 0.5),
    )


def _soften(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    if rng.random() < 0.5:
        return perturb.blur(pixels, rng.uniform(0.5, 2.0))
    h, w = pixels.shape[:2]
    share = rng.uniform(0.3, 0.8)
    small = perturb.resize(pixels, (round(h * share), round(w * share)), "area")
    return perturb.resize(small, (h, w), "bilinear")


def _read(face: Face, *, size: int, numbering: str) -> tuple[Pixels, Labels]:
    found = read_face(face, numbering=numbering)
    square = (size, size)
    pixels = perturb.resize(np.ascontiguousarray(found.pixels), square, "area")
    return pixels, perturb.resize(np.ascontiguousarray(found.labels), square, "nearest")


def _sample(pixels: Pixels, labels: Labels) -> Mapping[str, Any]:
    # Copies: decoded pictures can be read-only, which torch does not know.
    image = torch.from_numpy(np.array(pixels, order="C")).movedim(-1, 0)
    return {"image": image, "mask": torch.from_numpy(np.array(labels, order="C")), "kind": KIND}
