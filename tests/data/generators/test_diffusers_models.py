"""Tiny pipelines with random weights: they cannot paint, but everything around them is real."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tamperscope.data.generators.registry import load_generator
from tamperscope.errors import ConfigError, MissingExtraError, WeightsNotFoundError

QUICK = {"steps": 4, "jump_length": 2, "jump_samples": 2}


def unet(channels: int = 3, out: int | None = None) -> Any:
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=16,
        in_channels=channels,
        out_channels=out or channels,
        layers_per_block=1,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )


def write_index(folder: Path, name: str, **parts: tuple[str, str]) -> None:
    """What `save_pretrained` of a pipeline writes beside its parts."""
    index = {"_class_name": name, **{part: list(what) for part, what in parts.items()}}
    (folder / "model_index.json").write_text(json.dumps(index))


@pytest.fixture
def repaint(tmp_path: Path) -> Path:
    """A DDPM of 3 x 16 x 16 pictures on disk."""
    diffusers = pytest.importorskip("diffusers")
    folder = tmp_path / "ddpm"
    diffusers.DDPMPipeline(unet=unet(), scheduler=diffusers.DDPMScheduler()).save_pretrained(folder)
    return folder


@pytest.fixture
def ldm(tmp_path: Path) -> Path:
    """An unconditional latent diffusion model on disk: 2 x 2 pixels a cell."""
    diffusers = pytest.importorskip("diffusers")
    folder = tmp_path / "ldm"
    torch.manual_seed(1)
    parts = {
        "vqvae": diffusers.VQModel(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
            up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
            latent_channels=3,
            norm_num_groups=4,
            num_vq_embeddings=16,
        ),
        "unet": unet(),
        "scheduler": diffusers.DDIMScheduler(clip_sample=False),
    }
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    classes = {name: ("diffusers", type(part).__name__) for name, part in parts.items()}
    write_index(folder, "LDMPipeline", **classes)
    return folder


def faces() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    images = np.random.default_rng(0).integers(0, 256, (2, 17, 18, 3), dtype=np.uint8)
    masks = np.zeros((2, 17, 18), bool)
    masks[0, 4:10, 4:12] = True
    masks[1, 8:, :9] = True
    return images, masks


def test_repaint_changes_the_region_alone_and_follows_the_seed(repaint: Path) -> None:
    images, masks = faces()
    generator = load_generator(f"diffusers-repaint:{repaint}", options=QUICK)
    assert (generator.family, generator.whole_image) == ("diffusion", False)
    made = generator.inpaint(images, masks, seed=3)
    assert made.dtype == np.uint8
    assert np.array_equal(made[~masks], images[~masks])
    assert (made != images)[masks].mean() > 0.5
    alone = generator.inpaint(images[1:], masks[1:], seed=3)
    assert np.array_equal(alone[0], made[1])
    other = generator.inpaint(images, masks, seed=4)
    assert not np.array_equal(other, made)


def test_a_whole_picture_keeps_nothing(repaint: Path) -> None:
    images, _ = faces()
    generator = load_generator(f"diffusers-repaint:{repaint}", options=QUICK)
    made = generator.regenerate(images, seed=0)
    assert made.shape == images.shape
    assert (made != images).mean() > 0.9
    assert generator.regenerate(images[:0], seed=0).shape == (0, 17, 18, 3)


def test_a_model_of_variances_is_understood(repaint: Path) -> None:
    unet(out=6).save_pretrained(repaint / "unet")
    images, masks = faces()
    generator = load_generator(f"diffusers-repaint:{repaint}", options=QUICK)
    assert generator.inpaint(images, masks, seed=0).shape == images.shape


def test_latents_touch_every_pixel(ldm: Path) -> None:
    images, masks = faces()
    generator = load_generator(f"diffusers-ldm:{ldm}", options=QUICK)
    assert (generator.family, generator.whole_image) == ("latent", True)
    made = generator.inpaint(images, masks, seed=1)
    assert made.shape == images.shape
    assert (made != images)[~masks].mean() > 0.5
    again = generator.inpaint(images[1:], masks[1:], seed=1)
    assert np.array_equal(again[0], made[1])
    assert not np.array_equal(generator.regenerate(images, seed=1), made)


def tokenizer(folder: Path) -> Any:
    """A CLIP tokenizer that knows letters only."""
    from transformers import CLIPTokenizer

    folder.mkdir()
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77
    )


@pytest.fixture
def stable(tmp_path: Path) -> Path:
    """A Stable Diffusion inpainting pipeline on disk."""
    diffusers = pytest.importorskip("diffusers")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(2)
    words = tokenizer(tmp_path / "words")
    text = transformers.CLIPTextConfig(
        hidden_size=16,
        intermediate_size=16,
        num_attention_heads=2,
        num_hidden_layers=1,
        vocab_size=len(words),
        bos_token_id=52,
        eos_token_id=53,
    )
    pipeline = diffusers.StableDiffusionInpaintPipeline(
        vae=diffusers.AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
            up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
            latent_channels=4,
            norm_num_groups=4,
        ),
        text_encoder=transformers.CLIPTextModel(text),
        tokenizer=words,
        unet=diffusers.UNet2DConditionModel(
            sample_size=16,
            in_channels=9,
            out_channels=4,
            layers_per_block=1,
            block_out_channels=(8, 16),
            norm_num_groups=4,
            attention_head_dim=4,
            cross_attention_dim=16,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        ),
        scheduler=diffusers.DDIMScheduler(clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(tmp_path / "stable")
    return tmp_path / "stable"


@pytest.mark.filterwarnings("ignore")
def test_an_inpainting_pipeline_is_called_with_picture_and_mask(stable: Path) -> None:
    images, masks = faces()
    generator = load_generator(f"diffusers-ldm:{stable}", options={"steps": 2, "prompt": "a face"})
    made = generator.inpaint(images, masks, seed=1)
    assert made.shape == images.shape
    assert (made != images)[~masks].mean() > 0.5
    again = generator.inpaint(images[1:], masks[1:], seed=1)
    assert np.array_equal(again[0], made[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, not 0"),
        ({"jump_length": 1.5}, "jump_length must be a whole number of at least 1, not 1.5"),
        ({"eta": 2}, r"eta must be in \[0, 1\], not 2"),
    ],
)
def test_settings_that_cannot_be(repaint: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_generator(f"diffusers-repaint:{repaint}", options=options)


def test_models_that_do_not_fit(repaint: Path, tmp_path: Path) -> None:
    from diffusers import DDPMScheduler

    with pytest.raises(ConfigError, match="has no autoencoder: use it as diffusers-repaint:"):
        load_generator(f"diffusers-ldm:{repaint}")
    DDPMScheduler(prediction_type="sample").save_pretrained(repaint / "scheduler")
    with pytest.raises(ConfigError, match="needs a model that predicts noise, not 'sample'"):
        load_generator(f"diffusers-repaint:{repaint}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsNotFoundError, match=r"cannot be loaded .*: give a hub id such as"):
        load_generator(f"diffusers-repaint:{tmp_path / 'empty'}")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tamperscope\[diffusers\]'"):
        load_generator("diffusers-repaint:some/model")
