"""HRNet-W32 against the official FOCAL extractor (HighwayWu/FOCAL at 2bebdc9).

Fixture `focal_hrnet.npz`: weights by the recipe from official keys `net.*` with gain 0.5,
outputs in double precision.
"""

import json

import numpy as np
import pytest
import torch

from reference import recipe
from tamperscope.backbones import create_backbone, fuse_features
from tamperscope.backbones.hrnet import HRNetBackbone

REFERENCE = np.load(recipe.FOLDER / "focal_hrnet.npz")


@pytest.fixture(scope="module")
def hrnet() -> HRNetBackbone:
    backbone = create_backbone("focal-hrnet-w32")
    assert isinstance(backbone, HRNetBackbone)
    recipe.fill(backbone, official=lambda key: key, gain=0.5)
    return backbone.eval()


def test_attributes(hrnet: HRNetBackbone) -> None:
    assert (hrnet.name, hrnet.stride, hrnet.channels) == ("focal-hrnet-w32", 4, 32)


def test_keys_and_shapes_are_the_published_ones(hrnet: HRNetBackbone) -> None:
    text = (recipe.FOLDER / "keys_focal_hrnet_official_ckpt.json").read_text()
    published = {
        key.removeprefix("module."): tuple(entry["shape"])
        for key, entry in json.loads(text).items()
        if "final_layer" not in key
    }
    ours = {key: tuple(tensor.shape) for key, tensor in hrnet.state_dict().items()}
    assert len(ours) == 1752
    assert ours == published


@pytest.mark.parametrize("case", ["a", "b"])
@torch.inference_mode()
def test_features_are_the_official_ones(hrnet: HRNetBackbone, case: str) -> None:
    features = hrnet(torch.from_numpy(REFERENCE[f"x_{case}"]))
    np.testing.assert_allclose(features.numpy(), REFERENCE[f"y_{case}"], rtol=1e-4, atol=1e-4)
    assert features.min() >= 0


@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 70), (33, 45)])
@torch.inference_mode()
def test_any_size(hrnet: HRNetBackbone, h: int, w: int) -> None:
    features = hrnet(torch.rand(1, 3, h, w))
    assert features.shape == (1, 32, -(-h // 4), -(-w // 4))
    assert torch.isfinite(features).all()


@torch.inference_mode()
def test_alone_as_in_a_batch(hrnet: HRNetBackbone) -> None:
    x = torch.from_numpy(REFERENCE["x_b"])
    torch.testing.assert_close(hrnet(x)[1:], hrnet(x[1:]), rtol=1e-5, atol=1e-5)


def rms(x: torch.Tensor) -> float:
    return float(x.square().mean().sqrt())


@torch.inference_mode()
def test_bfloat16_deviation_is_the_recorded_one(hrnet: HRNetBackbone) -> None:
    """Recorded for unit features: rms 0.0014, largest 0.0095, 5 % of how features vary in space."""
    x = torch.from_numpy(REFERENCE["x_b"][:1])
    exact = fuse_features([hrnet(x)])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        error = fuse_features([hrnet(x)]) - exact
    spatial = rms(exact - exact.mean(dim=(2, 3), keepdim=True))
    assert 1e-5 < rms(error) < 0.003
    assert error.abs().max() < 0.02
    assert rms(error) < 0.1 * spatial


@torch.inference_mode()
def test_bfloat16_drowns_noise_of_one_grey_level() -> None:
    """Why float32 is what traces need: rounding moves the features more than such noise does.

    Recorded on a smooth picture with Kaiming weights: rounding 0.0015, noise 0.00008.
    """
    torch.manual_seed(0)
    backbone = create_backbone("focal-hrnet-w32").eval()
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 6), size=(96, 96), mode="bilinear")
    pixels = (smooth * 255).round()
    noisy = (pixels + torch.randint(-1, 2, pixels.shape)).clamp(0, 255)
    exact = fuse_features([backbone(pixels / 255)])
    response = rms(fuse_features([backbone(noisy / 255)]) - exact)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounding = rms(fuse_features([backbone(pixels / 255)]) - exact)
    assert 0 < response < rounding
