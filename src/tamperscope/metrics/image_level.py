"""Metrics of a set of pictures: one score each, forged or authentic.

``scores`` are floats (n,), ``forged`` bools (n,), True where the picture was manipulated. A
threshold flags scores *above* it and has no default: where to put it is part of a method, or of a
protocol.
"""

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics import _ranking
from tamperscope.metrics.pixel import Confusion, confusion


def auc(scores: NDArray[np.floating], forged: NDArray[np.bool_]) -> float:
    """Exact area under the ROC curve, ties one half.

    Raises:
        DataError: only one class, NaN, or arrays that do not fit.
    """
    return _both(scores, forged).auc()


def average_precision(scores: NDArray[np.floating], forged: NDArray[np.bool_]) -> float:
    """Average precision; its value for a guess is the share of forged pictures.

    Raises:
        DataError: as :func:`auc`.
    """
    return _both(scores, forged).precision


def balanced_accuracy(
    scores: NDArray[np.floating], forged: NDArray[np.bool_], *, threshold: float
) -> float:
    """Mean of the shares of forged and of authentic pictures that are right.

    Raises:
        DataError: as :func:`auc`. ConfigError: a threshold of NaN.
    """
    counts = _at(scores, forged, threshold)
    return (counts.recall() + counts.tn / (counts.tn + counts.fp)) / 2


def f1(scores: NDArray[np.floating], forged: NDArray[np.bool_], *, threshold: float) -> float:
    """F1 of the forged class: the harmonic mean of precision and recall (some publications print
    that of sensitivity and specificity under this name).

    Raises:
        DataError: as :func:`auc`. ConfigError: a threshold of NaN.
    """
    return _at(scores, forged, threshold).f1()


def _both(scores: NDArray[np.floating], forged: NDArray[np.bool_]) -> _ranking.Ranking:
    found = _ranking.rank(*_ranking.check_scores(scores, forged, "labels"))
    if not (found.positives and found.negatives):
        raise DataError(
            f"image-level metrics need forged and authentic pictures, got {found.positives} and "
            f"{found.negatives}; add a set of the other kind"
        )
    return found


def _at(scores: NDArray[np.floating], forged: NDArray[np.bool_], threshold: float) -> Confusion:
    if np.isnan(threshold):
        raise ConfigError("threshold must be a number, got nan")
    _both(scores, forged)
    return confusion(scores > threshold, forged)
