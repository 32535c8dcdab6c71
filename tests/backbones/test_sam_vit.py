"""The ViT against the official encoder as FOCAL builds it (HighwayWu/FOCAL at 2bebdc9).

Fixtures: `sam_small.npz`, a small configuration in double precision; `sam_vitl_1024.npz`, the real
one in single precision. Weights by the recipe from official encoder keys without prefix, gain 1.
"""

import json
from typing import Any

import numpy as np
import pytest
import torch

from reference import recipe
from tamperscope.backbones import Backbone, create_backbone, fuse_features
from tamperscope.errors import ConfigError

SMALL: dict[str, Any] = {
    "embed_dim": 64,
    "depth": 4,
    "num_heads": 4,
    "window_size": 14,
    "global_blocks": (1, 3),
    "channels": 32,
}
REFERENCE = np.load(recipe.FOLDER / "sam_small.npz")


def official(key: str) -> str:
    return key.removeprefix("net.").replace(".mlp.fc", ".mlp.lin")


def small(img_size: int) -> Backbone:
    backbone = create_backbone("focal-vit-l", img_size=img_size, **SMALL)
    recipe.fill(backbone, official)
    return backbone.eval()


@pytest.mark.parametrize("size", [320, 224])
@torch.inference_mode()
def test_features_are_the_official_ones(size: int) -> None:
    features = small(size)(torch.from_numpy(REFERENCE[f"x_s{size}"]))
    np.testing.assert_allclose(features.numpy(), REFERENCE[f"y_s{size}"], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_interpolated_relative_positions_are_the_tables_stretched_beforehand() -> None:
    """A 224 network on 320 pixels equals a 320 network given the stretched tables."""
    source, target = small(224), small(320)
    state = source.state_dict()
    stretched = {}
    for key, wanted in target.state_dict().items():
        value = state[key]
        if value.shape != wanted.shape and "rel_pos" in key:
            value = torch.nn.functional.interpolate(
                value.T[None], size=wanted.shape[0], mode="linear", align_corners=False
            )[0].T
        elif value.shape != wanted.shape:
            value = torch.nn.functional.interpolate(
                value.permute(0, 3, 1, 2), size=wanted.shape[1:3], mode="bicubic", antialias=True
            ).permute(0, 2, 3, 1)
        stretched[key] = value
    target.load_state_dict(stretched)
    x = torch.from_numpy(REFERENCE["x_s320"])
    torch.testing.assert_close(source(x), target(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (17, 250), (224, 100)])
@torch.inference_mode()
def test_any_size(h: int, w: int) -> None:
    features = small(224)(torch.rand(1, 3, h, w))
    assert features.shape == (1, 32, -(-h // 16), -(-w // 16))
    assert torch.isfinite(features).all()


def test_full_size_keys_and_shapes_are_the_published_ones() -> None:
    prefix = "module.net.image_encoder."
    text = (recipe.FOLDER / "keys_focal_vit_official_ckpt.json").read_text()
    published = {
        key.removeprefix(prefix): tuple(entry["shape"])
        for key, entry in json.loads(text).items()
        if key.startswith(prefix)
    }
    with torch.device("meta"):
        backbone = create_backbone("focal-vit-l")
    ours = {official(key): tuple(tensor.shape) for key, tensor in backbone.state_dict().items()}
    assert (backbone.stride, backbone.channels, len(ours)) == (16, 256, 345)
    assert ours == published


@torch.inference_mode()
def test_bfloat16_deviation_is_the_recorded_one() -> None:
    """Recorded for unit features: largest 0.0048, mean 0.0011; they vary by 0.064 in space."""
    backbone, x = small(224), torch.from_numpy(REFERENCE["x_s224"])
    exact = fuse_features([backbone(x)])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        error = (fuse_features([backbone(x)]) - exact).abs()
    assert 1e-5 < error.mean() < 0.003
    assert error.max() < 0.015


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"img_size": 1000}, "multiple of 16, not 1000"),
        ({"num_heads": 5}, "num_heads=5 must divide embed_dim=64"),
        ({"global_blocks": (4,)}, r"global_blocks must be in 0..3, not \[4\]"),
    ],
)
def test_numbers_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_backbone("focal-vit-l", **(SMALL | options))


@pytest.mark.slow
@pytest.mark.timeout(600)
@torch.inference_mode()
def test_full_size_features_are_the_official_ones() -> None:
    with torch.device("meta"):
        backbone = create_backbone("focal-vit-l")
    backbone = backbone.to_empty(device="cpu").eval()
    recipe.fill(backbone, official)
    x = recipe.make_input("sam_vitl_1024", (1, 3, 1024, 1024), "uniform")
    y = backbone(torch.from_numpy(x)).numpy()
    reference = np.load(recipe.FOLDER / "sam_vitl_1024.npz")
    assert y.shape == (1, 256, 64, 64)
    np.testing.assert_allclose(y[:, :, ::4, ::4], reference["y_sub"], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(y[:, :, 0, :], reference["y_row0"], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(y[:, :4], reference["y_chan0"], rtol=1e-4, atol=1e-3)
