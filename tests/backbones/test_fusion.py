"""Fusion against the official code: `focal_misc.npz`, with two one-layer networks."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from reference import recipe
from tamperscope.backbones import fuse_features
from tamperscope.errors import ConfigError

ARRAYS = np.load(recipe.FOLDER / "focal_misc.npz")
REFERENCE = {key: torch.from_numpy(value) for key, value in ARRAYS.items()}


def test_fused_features_are_the_official_ones() -> None:
    x = REFERENCE["fuse_x"]
    first = functional.conv2d(x, REFERENCE["tiny_w"], REFERENCE["tiny_b"], stride=4)
    second = functional.conv2d(x, REFERENCE["fuse_B_w"], REFERENCE["fuse_B_b"], stride=2)
    fused = fuse_features([first, second]).permute(0, 2, 3, 1)
    torch.testing.assert_close(fused, REFERENCE["fuse_feat"], rtol=1e-4, atol=1e-5)


def test_each_map_weighs_the_same() -> None:
    fused = fuse_features([torch.rand(2, 3, 4, 4) * 100, torch.rand(2, 40, 9, 9)])
    assert fused.shape == (2, 43, 4, 4)
    torch.testing.assert_close(fused[:, :3].norm(dim=1), torch.ones(2, 4, 4))
    torch.testing.assert_close(fused[:, 3:].norm(dim=1), torch.ones(2, 4, 4))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_a_grid_of_its_own(mode: str) -> None:
    fused = fuse_features([torch.rand(1, 3, 4, 4)], grid=(7, 5), mode=mode)  # type: ignore[arg-type]
    assert fused.shape == (1, 3, 7, 5)
    torch.testing.assert_close(fused.norm(dim=1), torch.ones(1, 7, 5))


def test_zero_stays_zero_and_half_becomes_single() -> None:
    fused = fuse_features([torch.zeros(1, 3, 2, 2, dtype=torch.bfloat16)])
    assert fused.dtype == torch.float32
    assert not fused.any()


@pytest.mark.parametrize("shapes", [[], [(3, 4, 4)], [(1, 3, 4, 4), (2, 3, 4, 4)]])
def test_maps_that_do_not_belong_together(shapes: list[tuple[int, ...]]) -> None:
    maps = [torch.zeros(shape) for shape in shapes]
    with pytest.raises(ConfigError, match=r"one or more maps \(B, C, h, w\) of the same batch"):
        fuse_features(maps)


def test_wrong_grid_and_mode() -> None:
    maps = [torch.rand(1, 3, 4, 4)]
    with pytest.raises(ConfigError, match=r"grid must be 'first' or \(rows, columns\).*\(0, 4\)"):
        fuse_features(maps, grid=(0, 4))
    with pytest.raises(ConfigError, match="unknown fusion mode 'cubic'; known: nearest, bilinear"):
        fuse_features(maps, mode="cubic")  # type: ignore[arg-type]
