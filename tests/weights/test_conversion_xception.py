"""Published checkpoints of DOLOS, FFD and ImageNet, made from the official keys, all the way."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from methods.dolos.official import official_state, picture
from reference import recipe
from tamperscope import catalog
from tamperscope.errors import (
    UnsafeWeightsError,
    WeightsError,
    WeightsMismatchError,
    WeightsNotFoundError,
)
from tamperscope.methods.dolos.network import build_network, network_for
from tamperscope.weights import convert, resolve, sha256_of, verify
from tamperscope.weights.conversion import best_checkpoint

PATCHES = np.load(recipe.FOLDER / "dolos_patches.npz")


def save(path: Path, stored: Any) -> Path:
    torch.save(stored, path)
    return path


@pytest.mark.parametrize("block", [1, 2, 3])
@pytest.mark.parametrize("kind", ["auto", "dolos-patches-weak"])
def test_patches(block: int, kind: str, tmp_path: Path) -> None:
    name = f"best_model_12_neg-loss=-0.{block}.pt"
    source = save(tmp_path / name, official_state(f"patches-{block}"))
    target = tmp_path / "patches.safetensors"
    card = convert(source, target, build=catalog.build_network, kind=kind).card
    method = "dolos-patches" if kind == "auto" else kind
    assert (card.method, card.kind) == (method, method)
    assert card.options["block"] == block
    assert card.preprocessing == ("bilinear" if kind == "auto" else "lanczos")
    assert "CC BY-NC-SA" in card.terms
    assert (card.source_sha256, card.sha256) == (sha256_of(source), sha256_of(target))
    assert card.summary.endswith(f"converted from {name}")
    assert verify(target, build=catalog.build_network).pinned
    network, _ = network_for(target, method)
    with torch.inference_mode():
        logits = network.eval()(picture("dolos_patch")[:1])["map_logits"]
    expected = PATCHES[f"logits_block{block}"][:1]
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_a_folder_stands_for_its_best_checkpoint(tmp_path: Path) -> None:
    for name in (
        "best_model_9_neg-loss=-0.3.pt",
        "best_model_10_neg-loss=-0.05.pt",
        "best_model_2_neg-loss=-0.1000.pt",
        "best_model_99_neg-loss=nan.pt",
        "last.pt",
    ):
        (tmp_path / name).write_bytes(b"x")
    assert best_checkpoint(tmp_path).name == "best_model_10_neg-loss=-0.05.pt"
    assert best_checkpoint(tmp_path / "last.pt") == tmp_path / "last.pt"
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsNotFoundError, match="a folder without files named best_model_<ep"):
        convert(tmp_path / "empty", tmp_path / "a.safetensors", build=catalog.build_network)


def test_converting_a_folder(tmp_path: Path) -> None:
    for score, name in ((-0.5, "patches-1"), (-0.25, "patches-2")):
        save(tmp_path / f"best_model_1_neg-loss={score}.pt", official_state(name))
    target = tmp_path / "a.safetensors"
    assert convert(tmp_path, target, build=catalog.build_network).card.options["block"] == 2


def test_ffd(tmp_path: Path) -> None:
    source = tmp_path / "xcp_reg.tar"
    stored = {"epoch": 3, "net": official_state("attention")}
    torch.save(stored, source, _use_new_zipfile_serialization=False)
    target = tmp_path / "ffd-xcp-reg.safetensors"
    card = convert(source, target, build=catalog.build_network).card
    assert (card.kind, card.method) == ("ffd-xcp-reg", "dolos-attention-weak")
    network, _ = network_for(target, "dolos-attention-weak")
    key = "xception.block1.rep.0.conv1.weight"
    expected = torch.from_numpy(recipe.value_for("block1.rep.0.c.weight", (64, 1, 3, 3)))
    assert torch.equal(network.state_dict()[key], expected)
    start = build_network({"method": "attention", "pretrained": str(target)})
    assert torch.equal(start.state_dict()[key], expected)


def test_found_by_the_published_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save(tmp_path / "xcp_reg.tar", {"net": official_state("attention")})
    monkeypatch.setenv("TAMPERSCOPE_WEIGHTS", str(tmp_path))
    assert resolve("ffd-xcp-reg") == source
    assert network_for("ffd-xcp-reg", "dolos-attention-weak")[0].name == "dolos-attention-weak"


def test_imagenet_starts_networks_and_runs_none(tmp_path: Path) -> None:
    state = {
        key: value[:, :, 0, 0] if key.endswith("pointwise.weight") else value
        for key, value in official_state("gradcam-weak").items()
        if not key.endswith("num_batches_tracked")
    }
    state |= {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    source, target = save(tmp_path / "xception.pth", state), tmp_path / "i.safetensors"
    card = convert(source, target, build=catalog.build_network).card
    assert (card.kind, card.options) == ("xception-imagenet", {"classes": 1000})
    assert verify(target, build=catalog.build_network).output_shape == (1, 1000)
    start = build_network({"method": "gradcam", "pretrained": str(target)})
    expected = recipe.value_for("conv1.weight", (32, 3, 3, 3))
    np.testing.assert_array_equal(start.state_dict()["xception.conv1.weight"].numpy(), expected)
    with pytest.raises(WeightsError, match="classifies objects"):
        catalog.load("dolos-gradcam-weak", weights=target, device="cpu")


def test_incomplete_and_unsafe_files(tmp_path: Path) -> None:
    target = tmp_path / "a.safetensors"
    state = official_state("patches-2")
    del state["block2.skip.weight"]
    source = save(tmp_path / "part.pt", state)
    with pytest.raises(
        WeightsMismatchError,
        match=r"part\.pt does not fit dolos-patches \(54 tensors\): 1 missing: "
        r"xception\.block2\.skip\.weight",
    ):
        convert(source, target, build=catalog.build_network)
    source = save(tmp_path / "xcp_reg.tar", {"net": state, "made_by": torch.nn.Linear(1, 1)})
    with pytest.raises(UnsafeWeightsError, match="reading them could run code: nothing was loaded"):
        convert(source, target, build=catalog.build_network)
    assert not target.exists()
