import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tamperscope.backbones import Backbone, create_backbone, list_backbones, pad_to_multiple
from tamperscope.errors import ConfigError, ImageValueError, UnknownNameError


class Mean(Backbone):
    """4x4 means: the least that a backbone can be."""

    def __init__(self) -> None:
        super().__init__(name="mean", stride=4, channels=3, multiple=16)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[-2] % 16 == 0
        assert x.shape[-1] % 16 == 0
        return torch.nn.functional.avg_pool2d(x, 4)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 4, 32]))
def test_padding_is_numpy_reflect_at_bottom_and_right(h: int, w: int, multiple: int) -> None:
    x = torch.rand(2, 3, h, w)
    bottom, right = -h % multiple, -w % multiple
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (0, bottom), (0, right)), mode="reflect")
    np.testing.assert_array_equal(pad_to_multiple(x, multiple).numpy(), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 33), (17, 400), (16, 32)])
def test_any_size_gives_the_rounded_up_grid(size: tuple[int, int]) -> None:
    features = Mean()(torch.rand(1, 3, *size))
    assert features.shape == (1, 3, -(-size[0] // 4), -(-size[1] // 4))


def test_padding_does_not_move_the_grid() -> None:
    x = torch.rand(1, 3, 30, 30)
    whole_cells = torch.nn.functional.avg_pool2d(x, 4)
    torch.testing.assert_close(Mean()(x)[..., :7, :7], whole_cells)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 3, 0, 8), (0, 3, 8, 8)])
def test_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageValueError, match=r"mean needs a batch \(B, 3, h, w\).*channels first"):
        Mean()(torch.zeros(shape))


def test_integers_are_refused() -> None:
    with pytest.raises(ImageValueError, match=r"not torch\.uint8: divide 8-bit pixels by 255"):
        Mean()(torch.zeros((1, 3, 8, 8), dtype=torch.uint8))


def test_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'focal-vit-l'.*timm:<model>"):
        create_backbone("focal-vit")


def test_unknown_option_is_named() -> None:
    with pytest.raises(ConfigError, match=r"focal-hrnet-w32 has no such option.*'width'"):
        create_backbone("focal-hrnet-w32", width=8)


def test_names() -> None:
    assert list_backbones() == ["focal-hrnet-w32", "focal-vit-l", "compact", "timm:<model>"]
