"""Which faces are for training, validation and test: fixed by the face's name alone."""

import hashlib
from typing import Literal

FaceSplit = Literal["train", "valid", "test"]
SPLITS: tuple[FaceSplit, ...] = ("train", "valid", "test")

_TRAIN, _VALID = 0.7, 0.8


def split_of(face_id: str) -> FaceSplit:
    """The split of a face, by a hash of its name: 70 % train, 10 % valid, 20 % test.

    The same for every generator, seed and machine, so that no face is ever in two splits.
    """
    digest = hashlib.sha256(f"face/{face_id}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < _TRAIN:
        return "train"
    return "valid" if share < _VALID else "test"
