"""`hdbscan` as a scikit-learn estimator; the function itself does without scikit-learn."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import validate_data

from tamperscope.clustering._dendrogram import Selection
from tamperscope.clustering.hdbscan import HdbscanMetric, hdbscan


class HDBSCAN(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Exact HDBSCAN: ``HDBSCAN(min_cluster_size=500).fit(X).labels_``.

    The parameters are those of `hdbscan`; note that min_samples does not count the point itself,
    unlike scikit-learn's own class.

    Attributes:
        labels_: (n,) int64, -1 for noise.
        probabilities_: (n,) float64 in [0, 1], strength of membership, 0 for noise.
        n_features_in_: C.
    """

    labels_: NDArray[np.int64]
    probabilities_: NDArray[np.float64]
    n_features_in_: int

    def __init__(
        self,
        min_cluster_size: int = 500,
        *,
        min_samples: int | None = None,
        metric: HdbscanMetric = "euclidean",
        allow_single_cluster: bool = False,
        selection: Selection = "eom",
        max_memory: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.min_cluster_size = min_cluster_size
        self.min_samples = min_samples
        self.metric = metric
        self.allow_single_cluster = allow_single_cluster
        self.selection = selection
        self.max_memory = max_memory
        self.threads = threads

    def fit(self, X: Any, y: None = None) -> Self:
        """Cluster the rows of ``X``: (n, C) of any real type, or a torch tensor.

        Raises:
            ValueError: ``X`` has another shape, or values that are not finite.
            ConfigError: a parameter out of range.
        """
        if hasattr(X, "is_cuda"):
            rows, self.n_features_in_ = X, int(X.shape[-1])
        else:
            rows = validate_data(self, X, dtype=[np.float64, np.float32])
        self.labels_, self.probabilities_ = hdbscan(rows, **self.get_params())
        return self

    def fit_predict(self, X: Any, y: None = None) -> NDArray[np.int64]:
        """``fit(X).labels_``."""
        return self.fit(X).labels_
