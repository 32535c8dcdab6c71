"""What the trained generators promise whatever their weights: sizes, seeds, batches, errors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from tamperscope.data.generators import Generator
from tamperscope.data.generators._running import SHIPPED, match_border, match_mean
from tamperscope.data.generators.decoders import UPSAMPLINGS, DecoderGenerator, RegionDecoder
from tamperscope.data.generators.diffusion import (
    SIGMA_MAX,
    SIGMA_MIN,
    Denoiser,
    DiffusionGenerator,
    noise_levels,
)
from tamperscope.data.generators.latent import LatentGenerator, LatentPainter
from tamperscope.errors import ConfigError, WeightsMismatchError, WeightsNotFoundError

NAMES = (*UPSAMPLINGS, "latent", "diffusion")


def _network(name: str) -> torch.nn.Module:
    torch.manual_seed(3)
    if name == "latent":
        return LatentPainter()
    return Denoiser() if name == "diffusion" else RegionDecoder(name)  # type: ignore[arg-type]


def _load(name: str, weights: Path | None) -> Generator:
    if name == "latent":
        return LatentGenerator(weights=weights)
    if name == "diffusion":
        return DiffusionGenerator(weights=weights, steps=3)
    return DecoderGenerator(name, weights=weights)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=NAMES)
def generator(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator:
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    state = _network(request.param).state_dict()
    save_file({k: v.half().contiguous() for k, v in state.items()}, path)
    return _load(request.param, path)


def _pictures(height: int = 40, width: int = 56) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    masks = np.zeros((2, height, width), np.bool_)
    masks[0, 8:24, 8:32] = True
    masks[1, 3:9, 30:51] = True
    return images, masks


def test_it_is_a_generator_of_its_family(generator: Generator) -> None:
    assert isinstance(generator, Generator)
    assert generator.name == generator.family
    assert generator.whole_image == (generator.name == "latent")


def test_regions_change_and_the_rest_is_kept(generator: Generator) -> None:
    images, masks = _pictures()
    out = generator.inpaint(images, masks, seed=0)
    assert out.dtype == np.uint8
    assert out.shape == images.shape
    assert (out[masks] != images[masks]).mean() > 0.9
    kept = (out == images).all(axis=-1)[~masks].mean()
    assert kept < 0.1 if generator.whole_image else kept == 1.0


def test_the_result_is_the_pictures_own(generator: Generator) -> None:
    images, masks = _pictures()
    both = generator.inpaint(images, masks, seed=4)
    alone = generator.inpaint(images[1:], masks[1:], seed=4)
    swapped = generator.inpaint(images[::-1].copy(), masks[::-1].copy(), seed=4)
    np.testing.assert_array_equal(both[1], alone[0])
    np.testing.assert_array_equal(both, swapped[::-1])


def test_another_seed_gives_another_region(generator: Generator) -> None:
    images, masks = _pictures()
    a, b = (generator.inpaint(images, masks, seed=s) for s in (0, 1))
    assert (a[masks] != b[masks]).any()


def test_whole_pictures_are_regenerated(generator: Generator) -> None:
    images, _ = _pictures()
    out = generator.regenerate(images, seed=0)
    assert out.shape == images.shape
    assert (out != images).any(axis=-1).mean() > 0.9
    np.testing.assert_array_equal(out, generator.regenerate(images, seed=0))


def test_an_empty_mask_and_an_empty_batch_are_fine(generator: Generator) -> None:
    images, masks = _pictures()
    none = generator.inpaint(images, np.zeros_like(masks), seed=0)
    if not generator.whole_image:
        np.testing.assert_array_equal(none, images)
    assert generator.inpaint(images[:0], masks[:0], seed=0).shape == (0, 40, 56, 3)


def test_the_input_is_left_alone(generator: Generator) -> None:
    images, masks = _pictures()
    before = images.copy()
    generator.inpaint(images, masks, seed=0)
    np.testing.assert_array_equal(images, before)


def test_a_negative_seed_is_refused(generator: Generator) -> None:
    images, masks = _pictures()
    with pytest.raises(ConfigError, match="non-negative"):
        generator.inpaint(images, masks, seed=-1)


@pytest.mark.parametrize("name", NAMES)
def test_missing_and_foreign_weights_are_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=f"no weights for generator '{name}'"):
        _load(name, tmp_path / "none.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, foreign)
    with pytest.raises(WeightsMismatchError, match="weights of another network"):
        _load(name, foreign)
    foreign.write_bytes(b"not a safetensors file")
    with pytest.raises(WeightsMismatchError, match="not a safetensors file"):
        _load(name, foreign)


def test_an_unknown_upsampling_is_refused() -> None:
    with pytest.raises(ConfigError, match="known: transposed, nearest, shuffle"):
        DecoderGenerator("bilinear")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown upsampling 'bilinear'"):
        RegionDecoder("bilinear")  # type: ignore[arg-type]


def test_diffusion_needs_a_step_and_a_start() -> None:
    with pytest.raises(ConfigError, match="at least 1, not 0"):
        DiffusionGenerator(steps=0)
    with pytest.raises(ConfigError, match="above 0.05 and at most 1.5, not 2"):
        DiffusionGenerator(start=2)


def test_decoders_differ_in_their_upsampling_only() -> None:
    parts = [
        {k: v.shape for k, v in RegionDecoder(u).state_dict().items() if not k.startswith("up")}
        for u in UPSAMPLINGS
    ]
    assert parts[0] == parts[1] == parts[2]
    ups = [{k for k in RegionDecoder(u).state_dict() if k.startswith("up")} for u in UPSAMPLINGS]
    assert ups[0] != ups[1] != ups[2] != ups[0]


def test_the_context_never_sees_the_region() -> None:
    network = _network("transposed").eval()
    assert isinstance(network, RegionDecoder)
    torch.manual_seed(0)
    picture, mask = torch.rand(1, 3, 32, 32), torch.ones(1, 1, 32, 32)
    # With everything masked, only the code (here made blind) tells pictures apart.
    for layer in network.coder.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.zeros_(layer.weight)
    noise = network.draw_noise(torch.Generator().manual_seed(0), 1, 32, 32)
    with torch.inference_mode():
        assert torch.equal(network(picture, mask, noise), network(picture + 1, mask, noise))


def test_noise_levels_fall() -> None:
    levels = noise_levels(6)
    assert levels[0] == pytest.approx(SIGMA_MAX)
    assert levels[-1] == pytest.approx(SIGMA_MIN)
    assert levels == sorted(levels, reverse=True)
    assert noise_levels(1, top=0.5) == [pytest.approx(0.5)]


def test_the_denoiser_trusts_a_clean_picture() -> None:
    network = _network("diffusion").eval()
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    mask = torch.ones(1, 1, 32, 32)
    with torch.inference_mode():
        out = network(picture, picture * 0, mask, torch.tensor([1e-4]))
    torch.testing.assert_close(out, picture, atol=1e-3, rtol=0)


def test_colours_meet_at_the_border() -> None:
    image = np.full((64, 64, 3), 100, np.uint8)
    filled = np.full((64, 64, 3), 130, np.uint8)
    mask = np.zeros((64, 64), np.bool_)
    mask[:, 20:] = True
    out = match_border(image, filled, mask, reach=4.0)
    assert abs(int(out[32, 21, 0]) - 100) < 12
    assert out[32, 60, 0] == 130
    assert (out[~mask] == 130).all()
    everything = np.ones_like(mask)
    assert match_border(image, filled, everything, reach=4.0) is filled


def test_the_mean_colour_of_the_region_is_kept() -> None:
    rng = np.random.default_rng(2)
    image, filled = rng.integers(40, 200, (2, 16, 16, 3), dtype=np.uint8)
    mask = np.zeros((16, 16), np.bool_)
    mask[4:12, 2:9] = True
    out = match_mean(image, filled, mask)
    np.testing.assert_allclose(out[mask].mean(axis=0), image[mask].mean(axis=0), atol=0.6)
    np.testing.assert_array_equal(out[~mask], filled[~mask])
    assert match_mean(image, filled, np.zeros_like(mask)) is filled


@pytest.mark.parametrize("name", sorted(p.stem for p in SHIPPED.glob("*.safetensors")))
def test_shipped_weights_load_and_stay_near_the_picture(name: str) -> None:
    assert (SHIPPED / f"{name}.safetensors").stat().st_size <= 1_500_000
    generator = _load(name, None)
    y, x = np.mgrid[0:64, 0:64]
    smooth = np.stack([100 + y, 60 + x, 180 - x], axis=-1).astype(np.uint8)[None]
    out = generator.regenerate(smooth, seed=0).astype(int)
    assert np.abs(out - smooth).mean() < 25
    if name in UPSAMPLINGS:
        np.testing.assert_allclose(out.mean((0, 1, 2)), smooth.mean((0, 1, 2)), atol=1)
