"""Random (face, mask) samples to train generators on."""

import hashlib
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tamperscope.data.faces.celebamask import Face, find_faces, read_face
from tamperscope.data.faces.splits import FaceSplit, split_of
from tamperscope.errors import DataError

SIZE = 256

# Label groups a mask is made of; a face editor changes one or a few of them.
_GROUPS = ((1, 2), (2,), (4, 5), (6, 7), (10, 11, 12), (13,), (3, 4, 5), (8, 9), (17, 18), (0,))


class FaceSamples:
    """All faces of a split in memory (256 KiB each), and random samples of them."""

    def __init__(self, folder: Path, split: FaceSplit, *, whole_share: float) -> None:
        """Read the faces of ``split``.

        Args:
            folder: faces with parsing labels; see `find_faces`.
            split: faces of the other splits are not even opened.
            whole_share: share of samples whose mask covers everything.

        Raises:
            DataError: no faces of this split.
        """
        faces = [face for face in find_faces(folder)[0] if split_of(face.id) == split]
        if not faces:
            raise DataError(f"{folder} has no {split} faces: give a folder with more faces")
        self.whole_share = whole_share
        self.pictures = np.empty((len(faces), SIZE, SIZE, 3), np.uint8)
        self.labels = np.empty((len(faces), SIZE, SIZE), np.uint8)
        for index, face in enumerate(faces):
            self.pictures[index], self.labels[index] = _at_size(face)

    def __len__(self) -> int:
        return len(self.pictures)

    def sample(self, key: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """A slightly turned, shifted, scaled and perhaps mirrored face, and a mask; all by key."""
        digest = hashlib.sha256(key.encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        index = int(rng.integers(len(self)))
        picture, labels = self.pictures[index], self.labels[index]
        if rng.random() < 0.5:
            picture, labels = picture[:, ::-1], labels[:, ::-1]
        middle = (SIZE / 2, SIZE / 2)
        angle, scale = rng.normal(0, 4), rng.uniform(0.95, 1.12)
        turn = np.asarray(cv2.getRotationMatrix2D(middle, angle, scale), np.float64)
        turn[:, 2] += rng.normal(0, 5, 2)
        moved = _warp(picture, turn, cv2.INTER_CUBIC)
        gain = rng.normal(1, 0.08) * rng.normal(1, 0.03, 3)
        moved = np.clip(moved * gain, 0, 255).astype(np.uint8)
        moved_labels = _warp(labels, turn, cv2.INTER_NEAREST)
        return moved, random_mask(moved_labels, rng, whole_share=self.whole_share)

    def batch(self, seed: int, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Samples ``start`` to ``start + count``: (B, 3, 256, 256) in [-1, 1], (B, 1, 256, 256)."""
        pairs = [self.sample(f"{seed}/{start + i}") for i in range(count)]
        pictures = torch.from_numpy(np.stack([p for p, _ in pairs])).permute(0, 3, 1, 2)
        masks = torch.from_numpy(np.stack([m for _, m in pairs]))[:, None].float()
        unit = pictures.float().div(127.5).sub(1)
        return unit.contiguous(memory_format=torch.channels_last), masks


def _at_size(face: Face) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    read = read_face(face)
    size = (SIZE, SIZE)
    pixels = cv2.resize(read.pixels, size, interpolation=cv2.INTER_AREA)
    labels = cv2.resize(read.labels, size, interpolation=cv2.INTER_NEAREST)
    return cast(NDArray[np.uint8], pixels), cast(NDArray[np.uint8], labels)


def _warp(array: NDArray[np.uint8], turn: NDArray[np.float64], how: int) -> NDArray[np.uint8]:
    moved = cv2.warpAffine(
        np.ascontiguousarray(array),
        turn,
        (SIZE, SIZE),
        flags=how,
        borderMode=cv2.BORDER_REFLECT,
    )
    return cast(NDArray[np.uint8], moved)


def random_mask(
    labels: NDArray[np.uint8], rng: np.random.Generator, *, whole_share: float
) -> NDArray[np.bool_]:
    """Everything, one to three face parts dilated by up to 15 pixels, or a rectangle.

    Args:
        labels: (h, w) part numbers; h and w at least 16.
        rng: draws everything.
        whole_share: probability of "everything". Of the rest three quarters are parts.

    Returns:
        (h, w) bool, never empty.
    """
    height, width = labels.shape
    draw = rng.random()
    if draw < whole_share:
        return np.ones((height, width), np.bool_)
    mask = np.zeros((height, width), np.uint8)
    if draw < whole_share + 0.75 * (1 - whole_share):
        for group in rng.choice(len(_GROUPS), size=int(rng.integers(1, 4)), replace=False):
            mask |= np.isin(labels, _GROUPS[group]).astype(np.uint8)
        reach = int(rng.integers(1, 16))
        mask = cv2.dilate(mask, np.ones((reach, reach), np.uint8)).astype(np.uint8)
    if not mask.any():
        h, w = (int(rng.integers(n // 8, n * 5 // 8)) for n in (height, width))
        top, left = int(rng.integers(height - h)), int(rng.integers(width - w))
        mask[top : top + h, left : left + w] = 1
    return mask.astype(np.bool_)
