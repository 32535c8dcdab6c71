"""k-means against the official labels (focal_misc) and on cases with a known answer."""

import json
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from reference import recipe
from tamperscope.clustering.foreground import ForegroundConfig, PristineRule, select_forged
from tamperscope.clustering.kmeans import kmeans
from tamperscope.clustering.postprocess import resize_mask
from tamperscope.errors import ClusteringError, ConfigError
from tamperscope.metrics import focal_f1, focal_iou

ARRAYS = np.load(recipe.FOLDER / "focal_misc.npz")
NUMBERS = json.loads((recipe.FOLDER / "focal_misc.json").read_text())
RELEASED = ForegroundConfig(pristine=PristineRule.RELEASED)


def agreement(labels: NDArray[Any], expected: NDArray[Any]) -> float:
    """Share of equal labels, whichever of the two clusters is called 0."""
    same = float((labels == expected).mean())
    return max(same, 1 - same)


class TestOfficialLabels:
    @pytest.mark.parametrize("picture", [0, 1])
    @pytest.mark.parametrize(("metric", "name"), [("released", "cos"), ("euclidean", "l2")])
    def test_plain_features(self, picture: int, metric: Any, name: str) -> None:
        found = kmeans(torch.from_numpy(ARRAYS["km_x"][picture]), metric=metric)
        assert found.converged
        assert agreement(found.labels.numpy(), ARRAYS[f"km_{name}_labels"][picture]) == 1
        assert found.inertia == pytest.approx(ARRAYS[f"km_{name}_inertia"][picture], rel=1e-5)
        order = np.lexsort(found.centres.numpy().T)
        expected = ARRAYS[f"km_{name}_centers"][picture]
        np.testing.assert_allclose(
            found.centres.numpy()[order], expected[np.lexsort(expected.T)], atol=1e-5
        )

    def test_the_released_rule_is_not_the_cosine(self) -> None:
        """The angle to the centre gives other labels, of lower inertia, than the official ones."""
        found = kmeans(torch.from_numpy(ARRAYS["km_x"][1]), metric="cosine")
        assert agreement(found.labels.numpy(), ARRAYS["km_cos_labels"][1]) < 1
        assert found.inertia < ARRAYS["km_cos_inertia"][1] - 0.1

    @pytest.mark.parametrize("picture", [0, 1])
    def test_fused_features(self, picture: int) -> None:
        features = torch.from_numpy(ARRAYS["fuse_feat"][picture])
        # Picture 1 has many local optima: eight starts miss the best one half of the time.
        found = kmeans(features.flatten(0, 1), restarts=64)
        mask = select_forged(found.labels.reshape(16, 16).numpy(), RELEASED).mask
        np.testing.assert_array_equal(mask, ARRAYS["fuse_labels"][picture][0] == 1)

    def test_from_features_to_the_official_scores(self) -> None:
        """The official run is one local optimum of noise-like features, drawn by its own random
        state: one of our starts has to end in exactly the same place."""
        weight, bias = (torch.from_numpy(ARRAYS[f"tiny_{k}"]) for k in "wb")
        maps = F.conv2d(torch.from_numpy(ARRAYS["pre_x"])[None], weight, bias, stride=4)
        rows = F.normalize(maps[0], dim=0).flatten(1).T
        truth = ARRAYS["pre_mask_gray"] > 127
        expected = (pytest.approx(NUMBERS["e2e_f1"]), pytest.approx(NUMBERS["e2e_iou"]))
        scores = []
        for seed in range(200):
            labels = kmeans(rows, restarts=1, seed=seed).labels.reshape(16, 16).numpy()
            mask = resize_mask(select_forged(labels, RELEASED).mask, truth.shape)
            scores.append(
                (focal_f1(mask, truth, grid=(16, 16)), focal_iou(mask, truth, grid=(16, 16)))
            )
        assert expected in scores


@pytest.mark.parametrize("metric", ["released", "cosine", "euclidean"])
def test_two_blobs(metric: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = 0.1 * torch.randn(300, 8, generator=generator)
    rows[:100, 0] += 1
    rows[100:, 1] += 1
    found = kmeans(rows, metric=metric)
    assert agreement(found.labels.numpy(), np.arange(300) >= 100) == 1
    assert found.labels.dtype == torch.int64


def test_more_clusters() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(300) % 3
    rows = torch.eye(3)[truth] + 0.05 * torch.randn(300, 3, generator=generator)
    labels = kmeans(rows, k=3).labels
    pairs = {(int(a), int(b)) for a, b in zip(truth, labels, strict=True)}
    assert len(pairs) == 3


@pytest.mark.parametrize("metric", ["released", "cosine", "euclidean"])
def test_the_seed_alone_decides(metric: Any) -> None:
    rows = torch.randn(200, 5, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(0)
    first = kmeans(rows, metric=metric, restarts=1, seed=5)
    torch.manual_seed(1)
    torch.rand(7)
    again = kmeans(rows, metric=metric, restarts=1, seed=5)
    assert torch.equal(first.labels, again.labels)
    others = [kmeans(rows, metric=metric, restarts=1, seed=s).inertia for s in range(10)]
    assert len(set(others)) > 1


def test_restarts_can_only_help() -> None:
    rows = torch.randn(200, 5, generator=torch.Generator().manual_seed(3))
    inertia = [kmeans(rows, metric="euclidean", restarts=n, tol=0).inertia for n in (1, 4, 16)]
    assert inertia == sorted(inertia, reverse=True)


def test_equal_rows_are_one_cluster() -> None:
    for metric in ("released", "cosine", "euclidean"):
        found = kmeans(torch.ones(20, 3), metric=metric)  # type: ignore[arg-type]
        assert found.labels.unique().tolist() == [0]


def test_zero_rows_are_harmless() -> None:
    rows = torch.cat([torch.zeros(5, 3), torch.ones(5, 3)])
    found = kmeans(rows, metric="cosine")
    assert torch.isfinite(found.centres).all()


def test_stopping_at_the_limit_is_reported() -> None:
    rows = torch.randn(500, 5, generator=torch.Generator().manual_seed(3))
    found = kmeans(rows, max_iter=2)
    assert (found.iterations, found.converged) == (2, False)


def test_half_precision_features() -> None:
    rows = torch.randn(50, 5, generator=torch.Generator().manual_seed(3)).bfloat16()
    assert torch.equal(kmeans(rows).labels, kmeans(rows.float()).labels)


def test_errors() -> None:
    rows = torch.rand(5, 3)
    with pytest.raises(ClusteringError, match="2 clusters need at least 2 rows, got 1; lower k"):
        kmeans(rows[:1])
    with pytest.raises(ClusteringError, match="NaN or infinity; run the network in float32"):
        kmeans(torch.full((5, 3), float("nan")))
    with pytest.raises(
        ClusteringError, match=r"must be a float tensor \(n, C\), got torch.float32"
    ):
        kmeans(torch.rand(2, 3, 4))
    with pytest.raises(ConfigError, match="unknown metric 'l1'; use 'released', 'cosine' or"):
        kmeans(rows, metric="l1")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="must be at least 1, got 0, 8, 100"):
        kmeans(rows, k=0)
