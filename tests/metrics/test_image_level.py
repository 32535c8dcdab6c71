"""Image-level metrics against scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics import image_level

SETS = st.integers(2, 30).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=st.sampled_from([0.0, 0.2, 0.5, 0.9])),
        arrays(np.bool_, n).filter(lambda f: bool(f.any() and not f.all())),
    )
)


@given(data=SETS, threshold=st.sampled_from([-1.0, 0.2, 0.5, 2.0]))
def test_as_in_scikit_learn(data: tuple[np.ndarray, np.ndarray], threshold: float) -> None:
    scores, forged = data
    flagged = scores > threshold
    pairs = [
        (image_level.auc(scores, forged), sklearn.metrics.roc_auc_score(forged, scores)),
        (
            image_level.average_precision(scores, forged),
            sklearn.metrics.average_precision_score(forged, scores),
        ),
        (
            image_level.balanced_accuracy(scores, forged, threshold=threshold),
            sklearn.metrics.balanced_accuracy_score(forged, flagged),
        ),
        (
            image_level.f1(scores, forged, threshold=threshold),
            sklearn.metrics.f1_score(forged, flagged, zero_division=0),
        ),
    ]
    for ours, theirs in pairs:
        assert ours == pytest.approx(theirs, abs=1e-12)


def test_f1_is_not_that_of_sensitivity_and_specificity() -> None:
    scores, forged = np.array([0.9, 0.9, 0.1, 0.1]), np.array([True, False, False, False])
    sensitivity, specificity = 1, 2 / 3
    other = 2 * sensitivity * specificity / (sensitivity + specificity)
    assert other == pytest.approx(0.8)
    assert image_level.f1(scores, forged, threshold=0.5) == pytest.approx(2 / 3)


def test_errors() -> None:
    scores = np.array([0.1, 0.9])
    with pytest.raises(DataError, match="need forged and authentic pictures, got 2 and 0; add"):
        image_level.auc(scores, np.array([True, True]))
    with pytest.raises(DataError, match=r"scores \(2,\) and labels \(3,\) differ in shape"):
        image_level.average_precision(scores, np.array([True, False, True]))
    with pytest.raises(DataError, match="labels must be bool"):
        image_level.f1(scores, np.array([1, 0]), threshold=0.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="threshold must be a number, got nan"):
        image_level.balanced_accuracy(scores, np.array([True, False]), threshold=float("nan"))
