"""Masks in the forms that programs exchange."""

import numpy as np
from numpy.typing import NDArray


def run_lengths(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """A mask (h, w) as COCO's uncompressed run-length code.

    Columns from the left, each from top to bottom; lengths of runs of pristine and forged pixels
    in turn, pristine first (0 where the first pixel is forged).
    """
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate(([0], edges, [flat.size]))).astype(np.int32)
    return np.concatenate((np.zeros(int(flat[0]), np.int32), counts))
