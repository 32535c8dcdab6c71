"""A published FOCAL checkpoint, made by the recipe from the official keys, all the way through."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from reference import recipe
from tamperscope.backbones import create_backbone
from tamperscope.errors import UnknownNameError, WeightsError, WeightsMismatchError
from tamperscope.weights import (
    card_for,
    convert,
    load_state,
    load_weights,
    native_state,
    sha256_of,
    verify,
)

REFERENCE = np.load(recipe.FOLDER / "focal_hrnet.npz")


def published_state(kind: str) -> dict[str, torch.Tensor]:
    text = (recipe.FOLDER / f"keys_focal_{kind}_official_ckpt.json").read_text()
    gain, prefix = (0.5, "module.") if kind == "hrnet" else (1.0, "module.net.image_encoder.")
    state = {
        key: torch.from_numpy(
            recipe.value_for(key.removeprefix(prefix), tuple(entry["shape"]), gain)
        )
        for key, entry in json.loads(text).items()
    }
    return state | {"module.net.fc.weight": torch.zeros(2, 2), "module.net.fc.bias": torch.zeros(2)}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("published") / "FOCAL_HRNet_weights.pth"
    torch.save(published_state("hrnet"), path)
    yield path
    path.unlink()


@torch.inference_mode()
def test_published_hrnet_loads_and_computes_the_official_features(published: Path) -> None:
    backbone = create_backbone("focal-hrnet-w32")
    assert load_weights(backbone, published).card is None
    features = backbone.eval()(torch.from_numpy(REFERENCE["x_b"][:1]))
    np.testing.assert_allclose(features.numpy(), REFERENCE["y_b"][:1], rtol=1e-4, atol=1e-4)


def test_converted_hrnet(published: Path, tmp_path: Path) -> None:
    report = convert(published, tmp_path / "hrnet.safetensors", build=create_backbone)
    assert {path.name for path in tmp_path.iterdir()} == {"hrnet.safetensors", "hrnet.toml"}
    assert report.card == card_for(report.path)
    assert report.card.source_sha256 == sha256_of(published)
    assert report.card.bytes == report.path.stat().st_size
    assert (report.card.kind, report.card.preprocessing) == ("focal-hrnet", "focal")
    assert "MIT" in report.card.terms
    converted = load_file(report.path)
    source = native_state(load_state(published), "focal-hrnet")
    assert report.card.keys == len(converted) == len(source) == 1752
    assert all(torch.equal(converted[key], source[key]) for key in source)
    checked = verify(report.path, build=create_backbone)
    assert checked.pinned
    assert checked.output_shape == (1, 32, 16, 16)
    report.path.unlink()


def build_small(name: str) -> nn.Module:
    """Two tensors whose keys look like the HRNet's."""
    assert name == "focal-hrnet-w32"
    network, stage, module = nn.Module(), nn.Module(), nn.Module()
    module.fuse_layers = nn.ModuleList([nn.Linear(2, 3)])
    stage.stage4 = nn.ModuleList([module])
    network.net = stage
    return network


def test_converting_twice_gives_the_same_files(tmp_path: Path) -> None:
    key = "module.net.stage4.0.fuse_layers.0"
    source, target = tmp_path / "source.pth", tmp_path / "hrnet.safetensors"
    torch.save({f"{key}.weight": torch.ones(3, 2).half(), f"{key}.bias": torch.ones(3)}, source)
    first = convert(source, target, build=build_small)
    text = first.card_path.read_text(encoding="utf-8")
    with pytest.raises(WeightsError, match=r"hrnet\.safetensors exists already: choose another"):
        convert(source, target, build=build_small)
    again = convert(source, target, build=build_small, overwrite=True)
    assert again.card == first.card
    assert again.card_path.read_text(encoding="utf-8") == text
    assert {value.dtype for value in load_file(target).values()} == {torch.float32}


def test_a_partial_file_is_named_and_nothing_written(tmp_path: Path) -> None:
    keys = ["module.net.stage4.0.fuse_layers.0.1.0.weight", "module.net.conv1.weight"]
    source, target = tmp_path / "part.pth", tmp_path / "part.safetensors"
    torch.save({keys[0]: torch.zeros(32, 64, 1, 1), keys[1]: torch.zeros(1)}, source)
    with pytest.raises(
        WeightsMismatchError,
        match=r"does not fit focal-hrnet-w32 \(1752 tensors\): 1750 missing: net\.bn1\.weight.*"
        r"1 mis-shaped: net\.conv1\.weight is \(1,\), needs \(64, 3, 3, 3\)",
    ):
        convert(source, target, build=create_backbone)
    assert not target.exists()


def test_a_vit_file_is_checked_against_the_vit(tmp_path: Path) -> None:
    source = tmp_path / "part.pth"
    torch.save({"image_encoder.blocks.0.attn.rel_pos_h": torch.zeros(27, 64)}, source)
    with pytest.raises(WeightsMismatchError, match=r"does not fit focal-vit-l .*344 missing"):
        convert(source, tmp_path / "part.safetensors", build=create_backbone)


def test_other_networks_are_not_converted(tmp_path: Path) -> None:
    source, target = tmp_path / "w.pth", tmp_path / "w.safetensors"
    torch.save({"stem.weight": torch.zeros(1)}, source)
    with pytest.raises(WeightsError, match=r"no checkpoint this knows \(first keys: stem\."):
        convert(source, target, build=create_backbone)
    with pytest.raises(UnknownNameError, match="unknown kind of checkpoint 'vit'"):
        convert(source, target, build=create_backbone, kind="vit")
    with pytest.raises(WeightsMismatchError, match="does not fit focal-vit-l"):
        convert(source, target, build=create_backbone, kind="focal-vit")


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"w\.pth must be named \.safetensors"):
        convert("a.pth", tmp_path / "w.pth", build=create_backbone)
    with pytest.raises(WeightsError, match=r"there is no folder .*absent to write into: make it"):
        convert("a.pth", tmp_path / "absent" / "w.safetensors", build=create_backbone)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_published_vit_converts_and_verifies(tmp_path: Path) -> None:
    source = tmp_path / "FOCAL_ViT_weights.pth"
    torch.save(published_state("vit"), source)
    report = convert(source, tmp_path / "vit.safetensors", build=create_backbone)
    source.unlink()
    assert report.card.keys == 345
    checked = verify(report.path, build=create_backbone)
    assert checked.output_shape == (1, 256, 4, 4)
    report.path.unlink()
