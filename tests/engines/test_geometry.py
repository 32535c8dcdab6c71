import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tamperscope.backbones.base import pad_to_multiple
from tamperscope.engines.geometry import Padded, covered, mirrored, repeated

SIDES = st.integers(1, 40)


@given(h=SIDES, w=SIDES, multiple=st.sampled_from([1, 2, 8, 16, 32]))
def test_mirroring_is_what_the_backbones_do(h: int, w: int, multiple: int) -> None:
    x = torch.arange(2.0 * 3 * h * w).reshape(2, 3, h, w)
    assert torch.equal(mirrored(x, multiple), pad_to_multiple(x, multiple))


@given(h=SIDES, w=SIDES, multiple=st.sampled_from([1, 2, 8, 32]))
def test_repeating_is_what_pytorch_calls_replicate(h: int, w: int, multiple: int) -> None:
    x = torch.arange(1.0 * h * w).reshape(1, 1, h, w)
    padded = F.pad(x, (0, -w % multiple, 0, -h % multiple), mode="replicate")
    assert torch.equal(repeated(x, multiple), padded)


@pytest.mark.parametrize(("side", "cells"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_cells_are_kept_if_the_picture_reaches_into_them(side: int, cells: int) -> None:
    grid = torch.rand(1, 2, 4, 4)
    kept = covered(grid, torch.zeros(1, 3, side, 16), 4)
    assert torch.equal(kept, grid[:, :, :cells])


class _Both(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        assert x.shape == y.shape == (1, 1, 8, 16)
        return {"map": x, "label": torch.zeros(1, 2)}


def test_only_outputs_with_a_grid_are_cropped() -> None:
    x = torch.rand(1, 1, 5, 11)
    outputs = Padded(_Both(), 8, {"map": 1})(x, x)
    assert torch.equal(outputs["map"], x)
    assert outputs["label"].shape == (1, 2)
