"""Grad-CAM against the official numbers, and that it leaves nothing behind."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from methods.dolos.official import official_state, picture
from reference import recipe
from tamperscope.attribution import grad_cam, heat_map
from tamperscope.errors import ConfigError
from tamperscope.methods.dolos.network import build_network
from tamperscope.weights import load_strict, native_state

REFERENCE = np.load(recipe.FOLDER / "dolos_gradcam.npz")


class Small(nn.Module):
    """Two convolutions and a linear layer over their mean."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3)
        self.last = nn.Conv2d(4, 5, 3)
        self.head = nn.Linear(5, 2)
        self.broken = False

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.first(x).relu())
        if self.broken:
            raise RuntimeError("broken on purpose")
        out: Tensor = self.head(x.mean((2, 3)))
        return out


def fake(output: Tensor) -> Tensor:
    return output[:, 1]


def test_official_weights_map_and_heat_map() -> None:
    network = build_network({"method": "gradcam", "supervision": "weak", "init": "scratch"})
    state = native_state(official_state("gradcam-weak"), "dolos-gradcam-weak")
    load_strict(network, state, what="official")
    found = grad_cam(
        network.eval(),
        network.xception.block11,  # type: ignore[arg-type]
        picture("dolos_gc", batch=1),
        lambda outputs: outputs["label_logits"][:, 1],
    )
    # These numbers are tiny: an absolute tolerance would compare nothing.
    for name, values in (("weights728", found.weights), ("raw_cam19", found.cam)):
        top = np.abs(REFERENCE[name]).max()
        np.testing.assert_allclose(values.numpy() / top, REFERENCE[name] / top, atol=1e-4)
    heat = heat_map(found.cam[0].numpy(), (299, 299))
    np.testing.assert_allclose(heat, REFERENCE["heatmap299"], atol=2e-3)
    logits = found.output["label_logits"].detach()
    np.testing.assert_allclose(logits.numpy(), REFERENCE["logits"], rtol=1e-4, atol=1e-4)


def test_a_linear_head_on_the_mean_gives_its_own_weights() -> None:
    network, x = Small(), torch.rand(2, 3, 9, 8)
    found = grad_cam(network, network.last, x, fake)
    expected = network.head.weight[1].detach() / (5 * 4)
    torch.testing.assert_close(found.weights, expected.expand(2, 5))
    weighted = (found.activation * expected[None, :, None, None]).sum(1).relu()
    torch.testing.assert_close(found.cam, weighted)
    torch.testing.assert_close(found.output, network(x))


def test_nothing_stays_behind() -> None:
    network, x = Small(), torch.rand(1, 3, 8, 8)
    before = network(x)
    grad_cam(network, network.last, x, fake)
    assert not network.last._forward_hooks
    assert all(p.grad is None for p in network.parameters())
    assert x.grad is None
    assert torch.equal(network(x), before)


def test_hooks_come_off_after_an_exception() -> None:
    network, x = Small(), torch.rand(1, 3, 8, 8)
    network.broken = True
    with pytest.raises(RuntimeError, match="broken on purpose"):
        grad_cam(network, network.last, x, fake)
    network.broken = False

    def wrong(output: Tensor) -> Tensor:
        raise ZeroDivisionError("in the score")

    with pytest.raises(ZeroDivisionError, match="in the score"):
        grad_cam(network, network.last, x, wrong)
    assert not network.last._forward_hooks


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_switched_off_around_it(context: Any) -> None:
    network = Small().requires_grad_(False)
    torch.manual_seed(1)
    outside = grad_cam(network, network.last, torch.rand(1, 3, 8, 8), fake)
    torch.manual_seed(1)
    with context():
        inside = grad_cam(network, network.last, torch.rand(1, 3, 8, 8), fake)
        assert not torch.is_grad_enabled()
    assert torch.equal(outside.cam, inside.cam)


def test_threads_do_not_see_each_other_s_outputs() -> None:
    network, pictures = Small(), torch.rand(2, 1, 3, 9, 8)
    alone = [grad_cam(network, network.last, x, fake) for x in pictures]
    assert not torch.allclose(alone[0].cam, alone[1].cam)
    together = threading.Barrier(2, timeout=10)

    def run(x: Tensor) -> Tensor:
        together.wait()
        out: Tensor = network(x)
        return out

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda x: grad_cam(run, network.last, x, fake), pictures))
    for one, other in zip(found, alone, strict=True):
        for name in ("weights", "activation", "cam", "output"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name))
    assert not network.last._forward_hooks


def test_layers_that_cannot_be_explained() -> None:
    network, x = Small(), torch.rand(1, 3, 8, 8)
    with pytest.raises(ConfigError, match="the explained layer ran 0 times: choose one that runs"):
        grad_cam(network, nn.Conv2d(1, 1, 1), x, fake)
    with pytest.raises(ConfigError, match="ran 2 times"):
        grad_cam(lambda y: network(y) + network(y), network.last, x, fake)
    with pytest.raises(ConfigError, match="score does not depend on the layer: choose one before"):
        grad_cam(network, network.last, x, lambda output: torch.ones(1))
    with pytest.raises(ConfigError, match="score does not depend on the layer"):
        grad_cam(network, network.last, x, lambda output: network.head.weight[:1, 0])
    assert not network.last._forward_hooks


class TestHeatMap:
    @pytest.mark.parametrize("level", [0.0, 3.0, 1e-12])
    def test_without_contrast_it_is_zero_and_never_nan(self, level: float) -> None:
        heat = heat_map(np.full((19, 19), level, np.float32), (40, 30))
        assert heat.shape == (40, 30)
        assert heat.dtype == np.float32
        assert not heat.any()

    def test_spans_zero_to_one(self) -> None:
        cam = np.random.default_rng(0).random((5, 7)).astype(np.float32)
        heat = heat_map(cam, (50, 70))
        assert heat.min() == 0
        assert heat.max() == 1
        assert np.unravel_index(cam.argmax(), cam.shape) == tuple(
            i // 10 for i in np.unravel_index(heat.argmax(), heat.shape)
        )

    def test_what_it_refuses(self) -> None:
        with pytest.raises(ConfigError, match=r"must be a finite array \(h, w\), not \(2, 2, 2\)"):
            heat_map(np.zeros((2, 2, 2), np.float32), (4, 4))
        with pytest.raises(ConfigError, match="must be a finite array"):
            heat_map(np.full((2, 2), np.nan, np.float32), (4, 4))
        with pytest.raises(ConfigError, match=r"each at least 1, not \(0, 4\)"):
            heat_map(np.zeros((2, 2), np.float32), (0, 4))
