"""Image-level numbers of a yes-or-no decision, from the class means of the column ``flagged``."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Side = Mapping[str, Array]
"""Column -> mean over the pictures of one class; ``share``: of all pictures."""


def sensitivity(tampered: Side, authentic: Side) -> Array:
    """Share of tampered pictures that were flagged."""
    return tampered["flagged"]


def specificity(tampered: Side, authentic: Side) -> Array:
    """Share of authentic pictures that were not flagged."""
    return 1 - authentic["flagged"]


def accuracy(tampered: Side, authentic: Side) -> Array:
    """Share of pictures that are right."""
    right = tampered["share"] * sensitivity(tampered, authentic)
    return right + authentic["share"] * specificity(tampered, authentic)


def balanced_accuracy(tampered: Side, authentic: Side) -> Array:
    """Mean of sensitivity and specificity."""
    return (sensitivity(tampered, authentic) + specificity(tampered, authentic)) / 2


def f1(tampered: Side, authentic: Side) -> Array:
    """F1 of the tampered class."""
    hits = tampered["share"] * tampered["flagged"]
    alarms = authentic["share"] * authentic["flagged"]
    return 2 * hits / (hits + alarms + tampered["share"])


def harmonic(tampered: Side, authentic: Side) -> Array:
    """Harmonic mean of sensitivity and specificity, which some publications print as F1; 0 where
    both are 0."""
    a, b = sensitivity(tampered, authentic), specificity(tampered, authentic)
    return 2 * a * b / np.maximum(a + b, np.finfo(np.float64).tiny)
