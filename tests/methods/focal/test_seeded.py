"""Two-means on the sphere from a starting membership."""

import numpy as np
import pytest
import torch

from methods.focal.toys import box, two_regions
from tamperscope.methods.focal.seeded import seeded_margin

REGION = box((20, 30), slice(4, 14), slice(6, 18))
FORGED = torch.from_numpy(REGION.ravel())


def features(noise: float = 0.1, seed: int = 0) -> torch.Tensor:
    return two_regions(REGION, noise=noise, seed=seed).flatten(0, 1)


def evidence(right: float, strength: float = 3.0, seed: int = 1) -> torch.Tensor:
    """Logits of which the share ``right`` has the right sign."""
    draw = torch.Generator().manual_seed(seed)
    wrong = torch.rand(len(FORGED), generator=draw) > right
    return strength * ((FORGED ^ wrong).float() * 2 - 1)


def test_margin_tells_the_regions_apart() -> None:
    margin, centres = seeded_margin(features(), evidence(1.0))
    assert torch.equal(margin > 0, FORGED)
    assert margin[FORGED].mean() > 0.8
    assert margin[~FORGED].mean() < -0.8
    torch.testing.assert_close(centres.norm(dim=1), torch.ones(2))
    assert (centres[1] @ two_regions(REGION, noise=0)[5, 8]) > 0.99


def test_features_correct_the_evidence() -> None:
    seed = evidence(0.7)
    assert ((seed > 0) == FORGED).float().mean() < 0.75
    margin, _ = seeded_margin(features(), seed)
    assert torch.equal(margin > 0, FORGED)


def test_evidence_names_the_sides() -> None:
    ahead, _ = seeded_margin(features(), evidence(0.8))
    turned, _ = seeded_margin(features(), -evidence(0.8))
    assert torch.equal(ahead > 0, turned < 0)


def test_homogeneous_features_have_no_margin() -> None:
    same = two_regions(np.zeros_like(REGION), noise=0).flatten(0, 1)
    margin, _ = seeded_margin(same, evidence(1.0))
    assert margin.abs().max() < 1e-6


def test_margin_is_a_difference_of_cosines() -> None:
    rows = features(noise=0.5)
    margin, centres = seeded_margin(rows, evidence(0.9))
    torch.testing.assert_close(margin, rows @ centres[1] - rows @ centres[0], atol=1e-6, rtol=1e-5)
    assert margin.abs().max() <= 2


def test_order_of_the_cells_does_not_matter() -> None:
    rows, seed = features(), evidence(0.8)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(2))
    margin, _ = seeded_margin(rows, seed)
    shuffled, _ = seeded_margin(rows[order], seed[order])
    torch.testing.assert_close(shuffled, margin[order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cells", [1, 2])
def test_few_cells(cells: int) -> None:
    margin, _ = seeded_margin(features()[:cells], evidence(1.0)[:cells])
    assert margin.shape == (cells,)
    assert torch.isfinite(margin).all()


@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_evidence_beyond_doubt(logit: float) -> None:
    """All memberships are 0 or 1 to the last bit, so that one side is empty."""
    margin, centres = seeded_margin(features(), torch.full((len(FORGED),), logit))
    assert torch.isfinite(margin).all()
    assert torch.isfinite(centres).all()
