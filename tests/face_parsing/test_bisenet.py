"""BiSeNet against zllrunning/face-parsing.PyTorch.

Fixture `bisenet.npz`: weights by the recipe from the official keys, outputs in double precision,
every fourth row and column.
"""

import json

import numpy as np
import pytest
import torch

from reference import recipe
from tamperscope.face_parsing.bisenet import BiSeNet

REFERENCE = np.load(recipe.FOLDER / "bisenet.npz")


@pytest.fixture(scope="module")
def network() -> BiSeNet:
    built = BiSeNet()
    recipe.fill(built, official=lambda key: key)
    return built.eval()


def test_keys_and_shapes_are_the_published_ones() -> None:
    text = (recipe.FOLDER / "keys_bisenet_faceparsing.json").read_text(encoding="utf-8")
    published = {key: tuple(entry["shape"]) for key, entry in json.loads(text).items()}
    ours = {key: tuple(tensor.shape) for key, tensor in BiSeNet().state_dict().items()}
    assert len(ours) == 191
    assert ours == published


@torch.inference_mode()
def test_heads_are_the_official_ones(network: BiSeNet) -> None:
    x = torch.from_numpy(recipe.make_input("bisenet", (1, 3, 128, 128), "normal"))
    heads = network.heads(x)
    for head, name in zip(heads, ("out_sub", "out16_sub", "out32_sub"), strict=True):
        np.testing.assert_allclose(
            head.numpy()[:, :, ::4, ::4], REFERENCE[name], rtol=1e-4, atol=1e-4
        )
    assert (heads[0].argmax(1).numpy() == REFERENCE["parsing"]).mean() >= 0.999
    assert torch.equal(network(x), heads[0])


@pytest.mark.parametrize("size", [(1, 1), (33, 70)])
@torch.inference_mode()
def test_any_size(network: BiSeNet, size: tuple[int, int]) -> None:
    logits = network(torch.rand(1, 3, *size))
    assert logits.shape == (1, 19, *size)
    assert bool(torch.isfinite(logits).all())
