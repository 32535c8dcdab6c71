import pytest
import torch
from torch import nn

from tamperscope.attribution.pull_back import run_layer, run_layers
from tamperscope.errors import ConfigError


def _layers() -> list[nn.Module]:
    torch.manual_seed(0)
    layers: list[nn.Module] = [
        nn.Conv2d(4, 8, 3, padding=1, groups=4, bias=False),
        nn.Conv2d(8, 6, 1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(6, 5, 1, stride=2),
        nn.BatchNorm2d(5, affine=False),
        nn.ReLU(),
        nn.Conv2d(5, 3, 3),
    ]
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            if layer.affine:
                layer.weight.data.normal_()
        layer.eval()
    return layers


@pytest.mark.parametrize("size", [(12, 12), (13, 17), (20, 15), (14, 19)])
def test_gradients_are_those_of_automatic_differentiation(size: tuple[int, int]) -> None:
    layers = _layers()
    x = torch.rand(2, 4, *size, requires_grad=True)
    wanted = nn.Sequential(*layers)(x)
    gradient = torch.rand_like(wanted)
    (exact,) = torch.autograd.grad(wanted, x, gradient)
    with torch.inference_mode():
        found, back = run_layers(layers, x.detach())
        torch.testing.assert_close(found, wanted.detach())
        torch.testing.assert_close(back(gradient), exact)


def test_inputs_are_left_as_they_are() -> None:
    x = torch.full((1, 1, 2, 2), -1.0)
    run_layer(nn.ReLU(inplace=True), x)
    assert (x == -1).all()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Sigmoid(), "gradients through Sigmoid need automatic differentiation"),
        (nn.Conv2d(1, 1, 3, stride=2), r"a \(3, 3\) convolution of stride \(2, 2\)"),
        (nn.BatchNorm2d(1, track_running_stats=False), "without statistics"),
    ],
)
def test_other_layers_are_refused(layer: nn.Module, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_layer(layer, torch.rand(1, 1, 5, 5))
