import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tamperscope.losses.texture import laplacian_loss, spectrum_loss


def _pictures() -> torch.Tensor:
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_equal_pictures_cost_nothing() -> None:
    x = _pictures()
    assert laplacian_loss(x, x).item() == 0
    assert spectrum_loss(x, x).item() == 0


def test_the_laplacian_ignores_a_constant() -> None:
    x = _pictures()
    assert laplacian_loss(x, x + 0.3).item() == pytest.approx(0, abs=1e-6)


def test_one_level_by_hand() -> None:
    a, b = torch.zeros(1, 1, 2, 2), torch.tensor([[[[4.0, 0.0], [0.0, 0.0]]]])
    # The mean of the difference is -1, so the band is -3 once and 1 three times.
    assert laplacian_loss(a, b, levels=1).item() == pytest.approx(6 / 4)


def test_the_spectrum_knows_blur_and_not_where_texture_sits() -> None:
    x = _pictures()
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    other = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert spectrum_loss(x, blurred) > 1.5 * spectrum_loss(x, other)
    assert (x - blurred).abs().mean() < (x - other).abs().mean()


def test_one_tile_against_numpy() -> None:
    x = _pictures()[:1, :1, :16, :16]
    window = np.hanning(17)[:16]
    tile = x.numpy()[0, 0] * np.outer(window, window)
    expected = np.abs(np.log(np.abs(np.fft.rfft2(tile)) + 0.05) - np.log(0.05)).mean()
    assert spectrum_loss(x, torch.zeros_like(x)).item() == pytest.approx(expected, rel=1e-4)
