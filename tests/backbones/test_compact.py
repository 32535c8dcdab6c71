"""The compact network: its fixed filters against arithmetic, and what it keeps to as a backbone."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

from tamperscope.backbones import create_backbone
from tamperscope.backbones.compact import BlockPhase, CompactBackbone, HighPass
from tamperscope.errors import ConfigError
from tamperscope.train.config import load_recipe

STEPS = (2, 3, 4, 5, 6, 8, 10, 13, 17)
TINY: dict[str, Any] = {"widths": (8, 8, 12, 16), "depths": (1, 1, 1, 1), "channels": 12}


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def tiny(**options: Any) -> CompactBackbone:
    torch.manual_seed(0)
    backbone = create_backbone("compact", **(TINY | options))
    assert isinstance(backbone, CompactBackbone)
    return backbone.eval()


class TestHighPass:
    def test_residuals_are_second_differences(self) -> None:
        x = noise(2, 3, 12, 17)
        padded = np.pad(x.double().numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        across = padded[..., 1:-1] - (padded[..., :-2] + padded[..., 2:]) / 2
        down = padded[..., 1:-1, :] - (padded[..., :-2, :] + padded[..., 2:, :]) / 2
        both = across[..., 1:-1, :] - (across[..., :-2, :] + across[..., 2:, :]) / 2
        expected = np.tanh(16 * np.stack([across[..., 1:-1, :], down[..., 1:-1], both], axis=2))
        found = HighPass()(x).view(2, 3, 3, 12, 17)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)

    def test_smooth_content_vanishes(self) -> None:
        y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
        slope = (0.1 + 0.01 * x + 0.02 * y).expand(1, 3, 20, 30)
        inside = HighPass()(slope)[..., 1:-1, 1:-1]
        assert inside.abs().max() < 1e-4

    def test_bfloat16_autocast_leaves_it_alone(self) -> None:
        x = noise(1, 3, 16, 16)
        exact = HighPass()(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(HighPass()(x), exact)


def luma(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, h, w) in [0, 1] to grey levels about 0."""
    grey: NDArray[np.float64] = np.tensordot([0.299, 0.587, 0.114], x * 255, 1) - 128
    return grey


class TestBlockPhase:
    def frequencies(self) -> list[tuple[int, int]]:
        pairs = itertools.product(range(8), range(8))
        return sorted((p for p in pairs if p != (0, 0)), key=lambda p: (sum(p), p[0]))[:14]

    def test_coefficients_are_the_dct_of_the_luma_blocks(self) -> None:
        x = noise(1, 3, 24, 40)
        phases, sizes = np.split(BlockPhase()(x)[0].numpy(), [9 * 14])
        blocks = luma(x[0].double().numpy()).reshape(3, 8, 5, 8).transpose(0, 2, 1, 3)
        dct = dctn(blocks, axes=(2, 3), norm="ortho")
        for i, (u, v) in enumerate(self.frequencies()):
            expected = dct[..., u, v]
            np.testing.assert_allclose(np.expm1(3 * sizes[i]), np.abs(expected), atol=2e-3)
            for j, step in enumerate(STEPS):
                wave = np.cos(2 * np.pi * expected / step)
                np.testing.assert_allclose(phases[14 * j + i], wave, atol=2e-3)

    @pytest.mark.parametrize("step", STEPS)
    def test_phase_is_one_on_the_lattice_of_a_step_and_its_divisors_only(self, step: int) -> None:
        rng = np.random.default_rng(step)
        dct = step * rng.integers(-3, 4, (6, 6, 8, 8)).astype(float)
        dct[..., 0, 0] = 0
        picture = idctn(dct, axes=(2, 3), norm="ortho").transpose(0, 2, 1, 3).reshape(48, 48)
        x = torch.from_numpy(np.broadcast_to((picture + 128) / 255, (1, 3, 48, 48)).copy()).float()
        phases = BlockPhase()(x)[0, : 9 * 14].view(9, 14, 6, 6)
        for other, found in zip(STEPS, phases, strict=True):
            if step % other == 0:
                assert found.min() > 0.999
            else:
                assert found.min() < 0.8

    def test_grid_starts_in_the_corner(self) -> None:
        x = noise(1, 3, 32, 32)
        whole = BlockPhase()(x)
        assert whole.shape == (1, BlockPhase().channels, 4, 4) == (1, 140, 4, 4)
        torch.testing.assert_close(BlockPhase()(x[..., 8:, 16:]), whole[..., 1:, 2:])
        assert (BlockPhase()(x[..., 4:28, 4:28]) - whole[..., :3, :3]).abs().mean() > 0.1

    def test_bfloat16_autocast_leaves_it_alone(self) -> None:
        x = noise(1, 3, 16, 16)
        exact = BlockPhase()(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(BlockPhase()(x), exact)


class TestNetwork:
    @pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 97), (97, 1), (15, 33), (64, 80), (17, 250)])
    @torch.inference_mode()
    def test_any_size(self, h: int, w: int) -> None:
        features = tiny()(noise(2, 3, h, w))
        assert features.shape == (2, 12, -(-h // 4), -(-w // 4))
        assert torch.isfinite(features).all()

    def test_recipe_of_the_shipped_network_has_two_million_weights(self) -> None:
        options = load_recipe("focal-compact").model.config["options"]
        backbone = create_backbone("compact", **options)
        assert (backbone.name, backbone.stride, backbone.channels) == ("compact", 4, 64)
        assert 1.5e6 < sum(p.numel() for p in backbone.parameters()) < 2.5e6

    @torch.inference_mode()
    def test_alone_and_in_a_batch(self) -> None:
        x = noise(3, 3, 48, 32)
        backbone = tiny()
        together = backbone(x)
        for i in range(3):
            torch.testing.assert_close(backbone(x[i : i + 1])[0], together[i], atol=1e-5, rtol=1e-5)

    @torch.inference_mode()
    def test_without_attention_a_place_sees_its_surroundings_only(self) -> None:
        x = noise(1, 3, 512, 64)
        other = x.clone()
        other[:, :, 400:] = noise(1, 3, 112, 64, seed=1)
        near, far = tiny(attention=0), tiny(attention=1)
        assert torch.equal(near(x)[:, :, :40], near(other)[:, :, :40])
        assert not torch.equal(far(x)[:, :, :40], far(other)[:, :, :40])

    @torch.inference_mode()
    def test_moves_with_the_picture_along_its_grids(self) -> None:
        x = noise(1, 3, 320, 320)
        backbone = tiny(attention=0)
        inner = slice(24, 48)
        moved = backbone(x[..., 16:, 32:])[..., inner, inner]
        torch.testing.assert_close(
            moved, backbone(x)[..., 28:52, 32:56], atol=1e-5, rtol=1e-4
        )  # 16 pixels are 4 cells, 32 are 8

    def test_every_weight_learns(self) -> None:
        backbone = tiny().train()
        backbone(noise(2, 3, 64, 64)).square().mean().backward()
        still = [n for n, p in backbone.named_parameters() if p.grad is None]
        assert still == []

    def test_colours_are_dropped_in_training_only(self) -> None:
        backbone = tiny(colour_dropout=1.0)
        x = noise(1, 3, 32, 32)
        shown = backbone._forms(x)
        hidden = backbone.train()._forms(x)
        assert torch.equal(hidden[:, :12], torch.zeros(1, 12, 16, 16))
        assert torch.equal(hidden[:, 12:], shown[:, 12:])
        assert shown[:, :12].abs().min() > 0
        assert torch.equal(tiny().train()._forms(x), shown)

    def test_fixed_filters_are_no_weights(self) -> None:
        keys = tiny().state_dict().keys()
        assert not [key for key in keys if key.startswith(("high_pass", "phase."))]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"widths": (8, 8, 12)}, "compact needs four widths and four depths, not 3 and 4"),
            ({"depths": (1,) * 5}, "compact needs four widths and four depths, not 4 and 5"),
            ({"widths": (8, 8, 8, 18)}, "compact: the last width must be a multiple of 4, not 18"),
            ({"width": 8}, "backbone compact has no such option"),
        ],
    )
    def test_numbers_that_do_not_fit(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            create_backbone("compact", **(TINY | options))
